package secrets

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// With -record the connections in testdata/openssl are made anew, with the
// openssl program. They show what crypto/tls cannot do.
var record = flag.Bool("record", false, "record testdata/openssl anew (needs openssl 3)")

// An opensslCase is a connection on which the client sends "ping" and the
// server answers "gnip".
type opensslCase struct {
	name           string
	server, client string // arguments; KEY.pem are made by the recorder
	verified       string
	err            error
}

// Every server with a certificate is asked for one of its client.
var opensslCases = []opensslCase{
	{"tls12-cbc-sha-etm", "-cert ec.pem -Verify 1", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA -cert ec.pem",
		"server KeyExchange ecdsa_secp256r1_sha256, client CertificateVerify ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-cbc-sha256-etm", "-cert ec.pem", "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256",
		"server KeyExchange ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-cbc-sha384-etm", "-cert ec.pem", "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384",
		"server KeyExchange ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-cbc-sha384", "-cert ec.pem -no_etm", "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384",
		"server KeyExchange ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-cbc-sha256-aes256", "-cert rsa.pem -no_etm", "-tls1_2 -cipher AES256-SHA256",
		"client Finished, server Finished", nil},
	{"tls11-cbc-sha-etm", "-cert ec.pem", "-tls1_1 -cipher ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0",
		"server KeyExchange ecdsa_sha1, client Finished, server Finished", nil},
	{"tls10-cbc-sha-etm", "-cert ec.pem -Verify 1", "-tls1 -cipher ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0 -cert ec.pem",
		"server KeyExchange ecdsa_sha1, client CertificateVerify ecdsa_sha1, client Finished, server Finished", nil},
	{"tls12-ccm", "-cert ec.pem -Verify 1", "-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM -cert ec.pem",
		"server KeyExchange ecdsa_secp256r1_sha256, client CertificateVerify ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-ccm8-aes256", "-cert ec.pem", "-tls1_2 -cipher ECDHE-ECDSA-AES256-CCM8",
		"server KeyExchange ecdsa_secp256r1_sha256, client Finished, server Finished", nil},
	{"tls12-dhe-ccm-aes256", "-cert rsa.pem", "-tls1_2 -cipher DHE-RSA-AES256-CCM",
		"server KeyExchange rsa_pss_rsae_sha256, client Finished, server Finished", nil},
	{"tls12-dhe-chacha20-pkcs1", "-cert rsa.pem -Verify 1", "-tls1_2 -cipher DHE-RSA-CHACHA20-POLY1305 -cert rsa.pem -sigalgs RSA+SHA512",
		"server KeyExchange rsa_pkcs1_sha512, client CertificateVerify rsa_pkcs1_sha512, client Finished, server Finished", nil},
	{"tls12-pss", "-cert pss.pem -Verify 1", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -cert pss.pem",
		"server KeyExchange rsa_pss_pss_sha256, client CertificateVerify rsa_pss_pss_sha256, client Finished, server Finished", nil},
	{"tls12-ed448", "-cert ec.pem -Verify 1", "-tls1_2 -cert ed448.pem",
		"server KeyExchange ecdsa_secp256r1_sha256", ErrUnsupported},
	{"tls12-brainpool", "-cert ec.pem -Verify 1", "-tls1_2 -cert brainpool.pem -curves X25519:P-256:brainpoolP256r1",
		"server KeyExchange ecdsa_secp256r1_sha256", ErrUnsupported},
	{"tls12-dsa", "-cert dsa.pem", "-tls1_2 -cipher DHE-DSS-AES128-SHA:@SECLEVEL=0", "", ErrUnsupported},
	{"tls12-anonymous", "-nocert", "-tls1_2 -cipher ADH-AES128-GCM-SHA256:@SECLEVEL=0", "", ErrUnsupported},
	{"tls13-aes256", "-cert ec.pem -Verify 1", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384 -cert ec.pem",
		"server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client CertificateVerify ecdsa_secp256r1_sha256, client Finished, client KeyUpdate, server KeyUpdate", nil},
	{"tls13-chacha20", "-cert pss.pem -Verify 1", "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256 -cert pss.pem",
		"server CertificateVerify rsa_pss_pss_sha256, server Finished, client CertificateVerify rsa_pss_pss_sha256, client Finished, client KeyUpdate, server KeyUpdate", nil},
	{"tls13-ccm", "-cert ec.pem -Verify 1", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256 -cert ec.pem -curves P-384:P-256",
		"retry, server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client CertificateVerify ecdsa_secp256r1_sha256, client Finished, client KeyUpdate, server KeyUpdate", nil},
	{"tls13-ccm8", "-cert ec.pem -Verify 1", "-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256 -cert ed25519.pem",
		"server CertificateVerify ecdsa_secp256r1_sha256, server Finished, client CertificateVerify ed25519, client Finished, client KeyUpdate, server KeyUpdate", nil},
	{"tls13-ed448", "-cert ed448.pem", "-tls1_3", "", ErrUnsupported},
}

func TestOpenSSL(t *testing.T) {
	if *record {
		recordOpenSSL(t)
	}
	for _, c := range opensslCases {
		t.Run(c.name, func(t *testing.T) {
			r := readRecording(t, c.name)
			f, err := r.follow()
			if !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if got := strings.Join(f.verified, ", "); got != c.verified {
				t.Errorf("verified %s\nwant     %s", got, c.verified)
			}
			if c.err == nil && (!strings.HasPrefix(string(f.client.app), "ping\n") || !strings.HasPrefix(string(f.server.app), "gnip\n")) {
				t.Errorf("client %q server %q", f.client.app, f.server.app)
			}
			if strings.Contains(c.verified, "KeyUpdate") && (string(f.client.app) != "ping\nmore\n" || string(f.server.app) != "gnip\nerom\n") {
				t.Errorf("client %q server %q", f.client.app, f.server.app)
			}
		})
	}
}

func recordingPath(name string) string { return filepath.Join("testdata", "openssl", name+".txt") }

func readRecording(t *testing.T, name string) *recording {
	t.Helper()
	text, err := os.ReadFile(recordingPath(name))
	if err != nil {
		t.Fatal(err)
	}
	r := new(recording)
	var log []byte
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "client":
			r.client = unhex(t, rest)
		case "server":
			r.server = unhex(t, rest)
		default:
			log = append(log, line...)
		}
	}
	r.log = readLog(t, log)
	return r
}

func openssl(dir string, args string) *exec.Cmd {
	cmd := exec.Command("openssl", strings.Fields(args)...)
	cmd.Dir = dir
	return cmd
}

func recordOpenSSL(t *testing.T) {
	dir := t.TempDir()
	for name, key := range map[string]string{
		"ec": "ec -pkeyopt ec_paramgen_curve:P-256", "brainpool": "ec -pkeyopt ec_paramgen_curve:brainpoolP256r1",
		"rsa": "rsa:2048", "pss": "rsa-pss:2048", "ed25519": "ed25519", "ed448": "ed448", "dsa": "dsa:params.pem",
	} {
		if name == "dsa" {
			if out, err := openssl(dir, "genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out params.pem").CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
		}
		file := name + ".pem"
		out, err := openssl(dir, "req -x509 -nodes -days 9999 -subj /CN=node -newkey "+key+" -keyout "+file+" -out cert.pem").CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(cert)
		f.Close()
	}
	if err := os.MkdirAll(filepath.Dir(recordingPath("")), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range opensslCases {
		recordCase(t, dir, c)
	}
}

func recordCase(t *testing.T, dir string, c opensslCase) {
	server := openssl(dir, "s_server -accept 127.0.0.1:0 -num_tickets 1 -cipher ALL:COMPLEMENTOFALL:@SECLEVEL=0 -ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256 -curves X25519:P-256:brainpoolP256r1 "+c.server)
	out, _ := server.StdoutPipe()
	answers, _ := server.StdinPipe()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Process.Kill()
	var port string
	for buf := make([]byte, 1); !strings.HasSuffix(port, "\n") || !strings.Contains(port, "ACCEPT 127"); port += string(buf) {
		if _, err := out.Read(buf); err != nil {
			t.Fatal(c.name, err, port)
		}
	}
	go io.Copy(io.Discard, out)
	port = strings.TrimSpace(port[strings.LastIndex(port, ":")+1:])

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var streams [2]bytes.Buffer
	done := make(chan error, 2)
	go func() {
		a, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		b, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			done <- err
			return
		}
		copyTo := func(dst, src net.Conn, to *bytes.Buffer) {
			_, err := io.Copy(io.MultiWriter(dst, to), src)
			dst.Close()
			done <- err
		}
		go copyTo(b, a, &streams[0])
		copyTo(a, b, &streams[1])
	}()

	client := openssl(dir, "s_client -keylogfile keys -connect "+l.Addr().String()+" "+c.client)
	os.Remove(filepath.Join(dir, "keys"))
	in, _ := client.StdinPipe()
	var messages bytes.Buffer
	client.Stdout, client.Stderr = &messages, &messages
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := []string{"ping", "", "Q"}
	if strings.Contains(c.client, "tls1_3") {
		lines = []string{"ping", "K", "more", "", "Q"} // K asks for a key update
	}
	answer := map[string]string{"ping": "gnip", "more": "erom"}
	for _, line := range lines {
		time.Sleep(300 * time.Millisecond) // a command must be all that is read at a time
		if line != "" {
			fmt.Fprintln(in, line)
		}
		if a := answer[line]; a != "" {
			time.Sleep(300 * time.Millisecond)
			fmt.Fprintln(answers, a)
		}
	}
	if err := client.Wait(); err != nil && c.err == nil {
		t.Fatal(c.name, err, messages.String())
	}
	<-done
	<-done
	keys, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(c.name, err)
	}
	text := fmt.Sprintf("# openssl s_server %s\n# openssl s_client %s\nclient %s\nserver %s\n%s", c.server, c.client,
		hex.EncodeToString(streams[0].Bytes()), hex.EncodeToString(streams[1].Bytes()), keys)
	if err := os.WriteFile(recordingPath(c.name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
