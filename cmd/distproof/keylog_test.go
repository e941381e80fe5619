package main

import (
	"path/filepath"
	"strings"
	"testing"

	"distproof/decode/secrets"
)

// TestKeyLogsOfRealNodes opens the handshakes of captures that come with a key
// log, where those are: the facts are the same as without one, but known better.
func TestKeyLogsOfRealNodes(t *testing.T) {
	logs, err := filepath.Glob(sharedDir + "/*.keylog")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range logs {
		name := strings.TrimSuffix(path, ".keylog")
		t.Run(filepath.Base(name), func(t *testing.T) {
			doc := documentWith(t, name+".pcap", readLog(t, secrets.Options{}, path))
			without := documentOfFile(t, name+".pcap")
			for i, c := range doc.Connections {
				w := without.Connections[i]
				if c.TLS == nil || text(c.TLS.Version) != "1.3" {
					continue
				}
				if c.TLS.KeyLog != "opened" || c.ClientCertificate.Basis != "decrypted" {
					t.Errorf("%s: key log %s, basis %s", c.ID, c.TLS.KeyLog, c.ClientCertificate.Basis)
				}
				if text(c.Verdict) != text(w.Verdict) || c.State != w.State || c.ClientCertificate.Status != w.ClientCertificate.Status {
					t.Errorf("%s: %s, without a key log %s", c.ID, claims(c), claims(w))
				}
				if c.ClientCertificate.Status == "presented" && (c.ClientCertificate.Possession != "verified" || len(c.ClientCertificate.Chain) == 0) {
					t.Errorf("%s: possession %s, %d certificates", c.ID, c.ClientCertificate.Possession, len(c.ClientCertificate.Chain))
				}
			}
		})
	}
}
