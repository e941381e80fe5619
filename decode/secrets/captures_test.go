package secrets

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distproof/decode/tcp"
	"distproof/internal/recorded"
)

// streams are both directions of a connection.
type streams struct {
	sent [2]bytes.Buffer
	gap  bool
}

func (s *streams) Data(d tcp.Dir, _ tcp.Position, b []byte) { s.sent[d].Write(b) }
func (s *streams) Gap(tcp.Dir, tcp.Position, int64)         { s.gap = true }

// tlsStreams returns the connections of a capture that begin with a TLS hello,
// the client's direction first.
func tlsStreams(t *testing.T, path string) []*streams {
	t.Helper()
	var out []*streams
	for _, c := range recorded.Connections(t, path, func() *streams { return new(streams) }) {
		if b := c.sent[0].Bytes(); len(b) > 5 && b[0] == 22 && b[5] == 1 {
			out = append(out, c)
		}
	}
	return out
}

// Connections of real Erlang nodes and of OpenSSL, with their key logs: every
// record opens, every signature and every Finished is right.
func TestCaptures(t *testing.T) {
	logs, _ := filepath.Glob("../../../shared/captures/*.keylog")
	if len(logs) == 0 {
		t.SkipNow()
	}
	for _, path := range logs {
		name := strings.TrimSuffix(filepath.Base(path), ".keylog")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			log := readLog(t, text)
			opened := 0
			for _, c := range tlsStreams(t, strings.TrimSuffix(path, "keylog")+"pcap") {
				f, err := follow(c.sent[0].Bytes(), c.sent[1].Bytes(), log.Lookup)
				if f.secrets == nil {
					continue
				}
				// The client that has no certificate hears so.
				refused := strings.Contains(name, "required_empty")
				if err != nil && !refused || c.gap {
					t.Errorf("%v gap %v", err, c.gap)
				}
				opened++
				got := strings.Join(f.verified, ", ")
				t.Logf("%d and %d bytes: %s", len(f.client.app), len(f.server.app), got)
				resumed := strings.Contains(name, "resume") && opened > 1
				if strings.Contains(name, "mutual") && !strings.Contains(got, "client CertificateVerify") {
					t.Errorf("no CertificateVerify of the client: %s", got)
				}
				if !resumed && !strings.Contains(got, "server KeyExchange") && !strings.Contains(got, "server CertificateVerify") {
					t.Errorf("no signature of the server: %s", got)
				}
				if !refused && (!strings.Contains(got, "client Finished") || !strings.Contains(got, "server Finished")) {
					t.Errorf("a Finished is missing: %s", got)
				}
				if swapped := name == "otp27_13_mutual_keylog"; strings.Contains(name, "13") && (f.client.opener.which == 1) != swapped {
					t.Errorf("the traffic secrets are swapped: %v", !swapped)
				}
				if strings.HasPrefix(name, "otp") && !bytes.Contains(f.client.app, []byte("demo@n1.lab")) {
					t.Errorf("no node name in % x", f.client.app[:min(100, len(f.client.app))])
				}
			}
			if opened == 0 {
				t.Error("no connection has a secret")
			}
		})
	}
}
