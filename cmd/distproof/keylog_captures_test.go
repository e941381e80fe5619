package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/internal/mutate"
	"distproof/internal/wireshark"
	"distproof/report"
)

// keyLogged returns the captures that come with a key log, without extension.
func keyLogged(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{pcapsDir, sharedDir} {
		logs, err := filepath.Glob(dir + "/*.keylog")
		if err != nil || len(logs) == 0 && dir == pcapsDir {
			t.Fatalf("key logs in %s: %v, %v", dir, logs, err)
		}
		for _, path := range logs {
			out = append(out, strings.TrimSuffix(path, ".keylog"))
		}
	}
	return out
}

func readLog(t testing.TB, o secrets.Options, paths ...string) *secrets.Log {
	t.Helper()
	log := new(secrets.Log)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := log.Read(bytes.NewReader(text), o)
		if err != nil || stats.Bad > 0 {
			t.Fatalf("%s: %v, line %d: %s", path, err, stats.FirstBad, stats.Reason)
		}
	}
	return log
}

func documentWith(t *testing.T, path string, log *secrets.Log) *report.Document {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	doc, err := analyze(src, analyzeOptions{Judge: true, Keys: keyringOf(log)})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestCapturesWithTheirKeyLogs: everything of every connection is proven, and
// what distribution said inside is read.
func TestCapturesWithTheirKeyLogs(t *testing.T) {
	for _, name := range keyLogged(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			doc := documentWith(t, name+".pcap", readLog(t, secrets.Options{}, name+".keylog"))
			opened, first := 0, ""
			for _, c := range doc.Connections {
				if c.TLS == nil {
					continue
				}
				if opened++; opened == 1 {
					first = c.ID
				}
				checkProven(t, c)
				if resumed := strings.Contains(name, "resume") && opened > 1; resumed != c.TLS.Resumed || resumed && c.TLS.ResumedFrom != first {
					t.Errorf("%s: resumed %t, from %q", c.ID, c.TLS.Resumed, c.TLS.ResumedFrom)
				}
				if c.Protocol == "dist-tls" {
					checkInside(t, c)
				} else if !strings.HasPrefix(filepath.Base(name), "ossl") {
					t.Errorf("%s: protocol %s", c.ID, c.Protocol)
				}
			}
			if opened == 0 {
				t.Error("no TLS")
			}
		})
	}
}

// checkProven tests that nothing of a TLS connection is inferred.
func checkProven(t *testing.T, c report.Connection) {
	t.Helper()
	want := "verified"
	if text(c.TLS.Version) == "1.3" {
		want = "decrypted"
	}
	client, server := c.ClientCertificate, c.ServerCertificate
	if c.TLS.KeyLog != "opened" || client.Basis != want || !c.TLS.Resumed && server.Basis != want {
		t.Errorf("%s: key log %q, basis %s and %s", c.ID, c.TLS.KeyLog, client.Basis, server.Basis)
	}
	possession := "unknown"
	if client.Status == "presented" {
		possession = "verified"
	}
	if client.Possession != possession || len(client.Chain) > 0 != (possession == "verified") || !c.TLS.Resumed && (server.Possession != "verified" || len(server.Chain) == 0) {
		t.Errorf("%s: possession %s and %s, %d and %d certificates", c.ID, client.Possession, server.Possession, len(client.Chain), len(server.Chain))
	}
	for _, a := range c.TLS.Alerts {
		if a.Basis == "inferred" || a.Description == "" {
			t.Errorf("%s: alert %+v", c.ID, a)
		}
	}
	if d := c.Decrypted; c.State == "up" && (d == nil || d.Incomplete != "" || d.Bytes.Client == 0) {
		t.Errorf("%s: decrypted %+v", c.ID, d)
	}
}

// checkInside tests what is read inside of distribution of Erlang nodes.
func checkInside(t *testing.T, c report.Connection) {
	t.Helper()
	for _, e := range []report.Endpoint{c.Client, c.Server} {
		if name, host, _ := strings.Cut(e.Node, "@"); name == "" || !strings.HasSuffix(host, ".lab") || e.NodeBasis != "decrypted" {
			t.Errorf("%s: node %q (%s)", c.ID, e.Node, e.NodeBasis)
		}
	}
	d := c.Decrypted
	if d.Cookie != "accepted" || d.RegisteredNames["rex"] == 0 || d.Messages["REG_SEND"] == 0 || d.Messages["TICK"] == 0 {
		t.Errorf("%s: %+v", c.ID, d)
	}
	// The bundled nodes have prevent_overlapping_partitions off.
	if demo := strings.HasPrefix(c.Client.Node, "demo@"); demo && d.RegisteredNames["global_name_server"] == 0 {
		t.Errorf("%s: %+v", c.ID, d.RegisteredNames)
	}
	if !slices.Contains(c.ProtocolBasis, "decryption") {
		t.Errorf("%s: distribution by %v", c.ID, c.ProtocolBasis)
	}
}

// TestKeyLogsChangeNoVerdict: whatever the key log, verdicts, states and what
// the client did are those without one.
func TestKeyLogsChangeNoVerdict(t *testing.T) {
	names := keyLogged(t)
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			without := documentWith(t, path, nil)
			own := strings.TrimSuffix(path, ".pcap")
			var others []string
			for _, name := range names {
				if name != own {
					others = append(others, name+".keylog")
				}
			}
			foreign := documentWith(t, path, readLog(t, secrets.Options{}, others...))
			forget(foreign)
			if diff := cmp.Diff(without, foreign); diff != "" {
				t.Errorf("with the key logs of others: %s", diff)
			}
			if !slices.Contains(names, own) {
				return
			}
			for name, o := range map[string]secrets.Options{"all": {}, "handshake only": {HandshakeOnly: true}} {
				doc := documentWith(t, path, readLog(t, o, own+".keylog"))
				if o.HandshakeOnly {
					checkHandshakeOnly(t, doc)
				}
				for i, c := range doc.Connections {
					if w := without.Connections[i]; verdictOf(c) != verdictOf(w) {
						t.Errorf("%s: %s\nwithout %s", name, verdictOf(c), verdictOf(w))
					}
				}
				if doc.Conclusion != without.Conclusion {
					t.Errorf("%s: %s, without %s", name, doc.Conclusion, without.Conclusion)
				}
			}
		})
	}
}

// forget removes from a document what only a key log that opens nothing says.
func forget(doc *report.Document) {
	for _, c := range doc.Connections {
		if c.TLS != nil && c.TLS.KeyLog != "opened" {
			c.TLS.KeyLog = ""
		}
	}
}

// verdictOf is what must not depend on a key log.
func verdictOf(c report.Connection) string {
	status := ""
	if c.ClientCertificate != nil {
		status = c.ClientCertificate.Status
	}
	return strings.Join([]string{c.ID, c.Protocol, text(c.Verdict), c.State, status}, " ")
}

// checkHandshakeOnly: TLS 1.3 is opened, but nothing that was said inside.
func checkHandshakeOnly(t *testing.T, doc *report.Document) {
	t.Helper()
	for _, c := range doc.Connections {
		if c.TLS == nil {
			continue
		}
		want := "TLS 1.2 has no secrets for the handshake alone"
		if text(c.TLS.Version) == "1.3" {
			want = "opened"
		}
		if c.TLS.KeyLog != want || c.Decrypted != nil || c.Client.NodeBasis == "decrypted" || c.Server.NodeBasis == "decrypted" {
			t.Errorf("%s: key log %q, %+v", c.ID, c.TLS.KeyLog, c.Decrypted)
		}
		if want == "opened" && c.ClientCertificate.Basis != "decrypted" {
			t.Errorf("%s: basis %s", c.ID, c.ClientCertificate.Basis)
		}
	}
}

// TestSecretsInCaptures: a key log in the capture is as good as one beside it.
func TestSecretsInCaptures(t *testing.T) {
	editcap := wireshark.Tool(t, "editcap")
	for _, name := range keyLogged(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "with-secrets.pcapng")
			out, err := exec.Command(editcap, "--inject-secrets", "tls,"+name+".keylog", name+".pcap", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v %s", err, out)
			}
			beside := documentWith(t, name+".pcap", readLog(t, secrets.Options{}, name+".keylog"))
			inside := documentWith(t, path, nil)
			if diff := cmp.Diff(beside, inside, cmpopts.IgnoreFields(report.Input{}, "Path", "Format", "Bytes", "Secrets")); diff != "" {
				t.Error(diff)
			}
			if n := inside.Inputs[0].Secrets; n != 1 || beside.Inputs[0].Secrets != 0 {
				t.Errorf("%d key logs in the capture", n)
			}
			for _, c := range inside.Connections {
				if c.TLS != nil && c.TLS.KeyLog != "opened" {
					data, _ := json.Marshal(c)
					t.Errorf("%s", data)
				}
			}
		})
	}
}

// TestFlippedBitsWithKeyLogs flips bits anywhere in the packets of the bundled
// captures: with the key log no verdict is better than without, unless it opened
// the handshake, and then it is the right one.
func TestFlippedBitsWithKeyLogs(t *testing.T) {
	for _, version := range []string{"tls12", "tls13"} {
		t.Run(version, func(t *testing.T) {
			path := pcapsDir + "/mutual_keylog_" + version
			log := readLog(t, secrets.Options{}, path+".keylog")
			packets, err := mutate.ReadFile(path + ".pcap")
			if err != nil {
				t.Fatal(err)
			}
			right := byEndpoints(documentWith(t, path+".pcap", log))
			random := rand.New(rand.NewPCG(3, 3))
			opened, others := 0, 0
			for range 400 {
				changed := slices.Clone(packets)
				p := &changed[random.IntN(len(changed))]
				p.Data = bytes.Clone(p.Data)
				at, bit := random.IntN(len(p.Data)), byte(1)<<random.IntN(8)
				p.Data[at] ^= bit
				without, with := documentOfPackets(t, changed, mutate.Format{}), documentOfPacketsWith(t, changed, log)
				if len(with.Connections) != len(without.Connections) {
					t.Fatalf("%d connections, without a key log %d", len(with.Connections), len(without.Connections))
				}
				for i, c := range with.Connections {
					w := without.Connections[i]
					switch {
					case c.TLS == nil:
					case c.TLS.KeyLog == "opened":
						opened++
						if o := first(right[endsOf(c)]); text(c.Verdict) == "mutual" && !weakerOrSame(c, o) {
							t.Errorf("byte %d, bit %#x: %s of %s", at, bit, claims(c), claims(o))
						}
					case verdictOf(c) != verdictOf(w) && !strings.Contains(c.TLS.KeyLog, "wrong Finished"):
						t.Errorf("byte %d, bit %#x: %s, without a key log %s (%s)", at, bit, claims(c), claims(w), c.TLS.KeyLog)
					default:
						others++
						if c.ClientCertificate.Basis == "verified" || c.ClientCertificate.Basis == "decrypted" {
							t.Errorf("byte %d, bit %#x: %s by %s", at, bit, claims(c), c.ClientCertificate.Basis)
						}
					}
				}
			}
			if opened == 0 || others == 0 {
				t.Errorf("%d opened, %d not", opened, others)
			}
		})
	}
}

// endsOf is the key of a connection in byEndpoints.
func endsOf(c report.Connection) string {
	for key := range byEndpoints(&report.Document{Connections: []report.Connection{c}}) {
		return key
	}
	return ""
}

func documentOfPacketsWith(t *testing.T, packets []mutate.Packet, log *secrets.Log) *report.Document {
	t.Helper()
	data, err := mutate.Bytes(packets, mutate.Format{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.NewReader(bytes.NewReader(data), "test")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := analyze(src, analyzeOptions{Judge: true, Keys: keyringOf(log)})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
