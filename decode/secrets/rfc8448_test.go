package secrets

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

// A trace is a section of testdata/rfc8448.txt.
type trace struct {
	name           string
	private        *ecdh.PrivateKey
	psk            []byte
	client, server []byte
	records        [][]byte // of both, in order
}

func readTraces(t *testing.T) []trace {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc8448.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []trace
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(word, "[") {
			all = append(all, trace{name: strings.Trim(lines.Text(), "[]")})
		}
		data, _ := hex.DecodeString(rest)
		var curve ecdh.Curve
		switch word {
		case "x25519":
			curve = ecdh.X25519()
		case "p256":
			curve = ecdh.P256()
		case "psk":
			all[len(all)-1].psk = data
		case ">":
			all[len(all)-1].client = append(all[len(all)-1].client, data...)
			all[len(all)-1].records = append(all[len(all)-1].records, data)
		case "<":
			all[len(all)-1].server = append(all[len(all)-1].server, data...)
			all[len(all)-1].records = append(all[len(all)-1].records, data)
		}
		if curve != nil {
			if all[len(all)-1].private, err = curve.NewPrivateKey(data); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// derive is Derive-Secret with a transcript, or none (RFC 8446, Section 7.1).
// It is written on its own, so as to check what the package does.
func derive(secret []byte, label string, messages ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(messages, nil))
	info := append([]byte{0, 32, byte(6 + len(label))}, "tls13 "+label...)
	info = append(append(info, 32), sum[:]...)
	out, err := hkdf.Expand(sha256.New, secret, string(info), 32)
	if err != nil {
		panic(err)
	}
	return out
}

func extract(secret, salt []byte) []byte {
	out, err := hkdf.Extract(sha256.New, secret, salt)
	if err != nil {
		panic(err)
	}
	return out
}

// schedule returns the secrets of a trace: until is the transcript up to the
// server's Finished, empty in the first round.
func (tr *trace) schedule(t *testing.T, hellos, until []byte) *Secrets {
	t.Helper()
	zero := make([]byte, 32)
	psk := tr.psk
	if psk == nil {
		psk = zero
	}
	s := new(Secrets)
	early := extract(psk, nil)
	if tr.psk != nil {
		s.ClientEarly = derive(early, "c e traffic", tr.records[0][5:])
	}
	share := hellos
	// The server's key share is the last extension but one of its hello.
	i := bytes.LastIndex(share, []byte{0x00, 0x2b, 0x00, 0x02, 0x03, 0x04})
	size := len(tr.private.PublicKey().Bytes())
	public, err := tr.private.Curve().NewPublicKey(share[i-size : i])
	if err != nil {
		t.Fatal(err)
	}
	shared, err := tr.private.ECDH(public)
	if err != nil {
		t.Fatal(err)
	}
	handshake := extract(shared, derive(early, "derived"))
	s.ClientHandshake = derive(handshake, "c hs traffic", hellos)
	s.ServerHandshake = derive(handshake, "s hs traffic", hellos)
	master := extract(zero, derive(handshake, "derived"))
	s.ClientTraffic = derive(master, "c ap traffic", until)
	s.ServerTraffic = derive(master, "s ap traffic", until)
	return s
}

// secrets derives all secrets. Those behind the handshake need the messages
// that only the handshake secrets open.
func (tr *trace) secrets(t *testing.T) *Secrets {
	t.Helper()
	var hellos Transcript
	hellos.Add(tr.records[0][5:])
	if strings.Contains(tr.name, "Retry") {
		if err := hellos.Retry(0x1301); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range tr.records[1:5] {
		if r[0] == 0x16 {
			hellos.Add(r[5:])
		}
	}
	first := tr.schedule(t, hellos.messages, nil)
	until := slices.Clone(hellos.messages)
	o, err := NewOpener13(0x1301, first.ServerHandshake)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range tr.records {
		if _, plain, err := o.Open(nil, r[0], 0x0303, r[5:]); err == nil {
			until = append(until, plain...)
		}
	}
	return tr.schedule(t, hellos.messages, until)
}

func TestRFC8448(t *testing.T) {
	data := make([]byte, 50)
	for i := range data {
		data[i] = byte(i)
	}
	const certificate = "server CertificateVerify rsa_pss_rsae_sha256"
	want := []struct {
		verified string
		early    string
		app      []byte
	}{
		{verified: certificate + ", server Finished, client Finished", app: data},
		{verified: "server Finished, client Finished", early: "ABCDEF", app: data},
		{verified: "retry, " + certificate + ", server Finished, client Finished"},
		{verified: "server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client CertificateVerify rsa_pss_rsae_sha256, client Finished"},
		{verified: certificate + ", server Finished, client Finished"},
	}
	traces := readTraces(t)
	if len(traces) != len(want) {
		t.Fatalf("%d traces", len(traces))
	}
	for i, tr := range traces {
		t.Run(tr.name, func(t *testing.T) {
			secrets := tr.secrets(t)
			f, err := follow(tr.client, tr.server, func([32]byte) *Secrets { return secrets })
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.verified, ", "); got != want[i].verified {
				t.Errorf("verified %s\nwant     %s", got, want[i].verified)
			}
			if string(f.client.early) != want[i].early || !bytes.Equal(f.client.app, want[i].app) || !bytes.Equal(f.server.app, want[i].app) {
				t.Errorf("early %q client %x server %x", f.client.early, f.client.app, f.server.app)
			}
		})
	}
}

// The numbers of RFC 8448, Section 3.
func TestSchedule13(t *testing.T) {
	secret := unhex(t, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38") // server handshake traffic
	key, iv, err := trafficKeys(suites13[0x1301], secret)
	if err != nil || hex.EncodeToString(key) != "3fce516009c21727d0f2e4e86ee403bc" || hex.EncodeToString(iv) != "5d313eb2671276ee13000b30" {
		t.Errorf("key %x iv %x %v", key, iv, err)
	}
	fin, err := finishedKey(crypto.SHA256, secret)
	if err != nil || hex.EncodeToString(fin) != "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8" {
		t.Errorf("finished %x %v", fin, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
