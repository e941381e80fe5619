package tls

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
)

// With -record the connections in testdata/openssl are made anew, with the
// openssl program. They have what crypto/tls does not: other suites, key
// updates, renegotiation, encrypt-then-MAC.
var recordOpenSSL = flag.Bool("record", false, "record testdata/openssl anew (needs openssl 3)")

// An opensslCase is one or two connections of openssl s_client with s_server.
// On every one the client sends "ping\n" and the server answers "gnip\n".
type opensslCase struct {
	name string
	// server and client are arguments; those of a second connection, which
	// resumes the session of the first, are added by the recorder if resume.
	server, client string
	resume         bool
	// more is typed after ping, into the client, or into the server if it
	// begins with a dot. Single letters are commands: R renegotiates, K and k
	// update keys with and without asking the peer to, c asks for a certificate.
	more string
	want outcome
}

// An outcome is what a key log shows of a connection.
type outcome struct {
	version     Version
	suite       Suite
	status      CertificateStatus
	server      fact.Basis // possession of the server's key
	established fact.Value
	// stopped says why not all application data was opened, for the client and
	// the server.
	stopped [2]string
	// said is the application data beside ping and gnip.
	said [2]string
	// keyLog is "opened" if empty; alert the name of an alert.
	keyLog, alert string
}

const (
	anyVerify = "-cert ec.pem -verify 1"
	mustBe    = "-cert ec.pem -Verify 1"
)

var opensslCases = []opensslCase{
	// Key exchanges, ciphers and MACs of TLS 1.2 and before.
	{name: "tls12-rsa-aes128-gcm", server: "-cert rsa.pem -Verify 1", client: "-tls1_2 -cipher AES128-GCM-SHA256 -cert ec.pem",
		want: outcome{version: TLS12, suite: 0x009c, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-rsa-aes256-sha", server: "-cert rsa.pem -no_etm", client: "-tls1_2 -cipher AES256-SHA",
		want: outcome{version: TLS12, suite: 0x0035, status: NotRequested, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-dhe-aes256-gcm", server: "-cert rsa.pem -Verify 1", client: "-tls1_2 -cipher DHE-RSA-AES256-GCM-SHA384 -cert rsa.pem",
		want: outcome{version: TLS12, suite: 0x009f, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-dhe-aes128-ccm8", server: "-cert rsa.pem", client: "-tls1_2 -cipher DHE-RSA-AES128-CCM8",
		want: outcome{version: TLS12, suite: 0xc0a2, status: NotRequested, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-ecdhe-aes256-gcm", server: mustBe, client: "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384 -cert ec.pem",
		want: outcome{version: TLS12, suite: 0xc02c, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-ecdhe-chacha20", server: mustBe, client: "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305 -cert ed25519.pem",
		want: outcome{version: TLS12, suite: 0xcca9, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-cbc-sha256", server: mustBe + " -no_etm", client: "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256 -cert ec.pem",
		want: outcome{version: TLS12, suite: 0xc023, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-cbc-sha-etm", server: mustBe, client: "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA -cert ec.pem",
		want: outcome{version: TLS12, suite: 0xc00a, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-plain-master-secret", server: mustBe, client: "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256 -cert ec.pem",
		want: outcome{version: TLS12, suite: 0xc02b, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-cbc-plain-master-secret", server: mustBe, client: "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA -cert ec.pem",
		want: outcome{version: TLS12, suite: 0xc009, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls11-rsa-aes128-sha", server: "-cert rsa.pem -Verify 1 -no_etm", client: "-tls1_1 -cipher AES128-SHA:@SECLEVEL=0 -cert rsa.pem",
		want: outcome{version: TLS11, suite: 0x002f, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls10-dhe-aes128-sha", server: "-cert rsa.pem -Verify 1 -no_etm", client: "-tls1 -cipher DHE-RSA-AES128-SHA:@SECLEVEL=0 -cert rsa.pem",
		want: outcome{version: TLS10, suite: 0x0033, status: Presented, server: fact.Verified, established: fact.Yes}},
	// What the client does about its certificate.
	{name: "tls12-empty", server: anyVerify, client: "-tls1_2",
		want: outcome{version: TLS12, suite: 0xc02c, status: Empty, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-empty", server: anyVerify, client: "-tls1_3",
		want: outcome{version: TLS13, suite: 0x1302, status: Empty, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-not-asked", server: "-cert ec.pem", client: "-tls1_3 -cert ec.pem",
		want: outcome{version: TLS13, suite: 0x1302, status: NotRequested, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-empty-refused", server: mustBe, client: "-tls1_3",
		want: outcome{version: TLS13, suite: 0x1302, status: Empty, server: fact.Verified, established: fact.No, alert: "certificate_required"}},
	{name: "tls13-server-refused", server: mustBe, client: "-tls1_3 -verify_return_error",
		want: outcome{version: TLS13, suite: 0x1302, server: fact.Verified, alert: "unknown_ca", stopped: [2]string{"the handshake could not be opened", ""}}},
	// Resumption, renegotiation, key updates.
	{name: "tls12-resumed-by-id", server: mustBe + " -no_ticket", client: "-tls1_2 -no_ticket -cert ec.pem", resume: true,
		want: outcome{version: TLS12, suite: 0xc02c, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-resumed-by-ticket", server: mustBe, client: "-tls1_2 -cert ec.pem", resume: true,
		want: outcome{version: TLS12, suite: 0xc02c, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-resumed", server: mustBe, client: "-tls1_3 -cert ec.pem", resume: true,
		want: outcome{version: TLS13, suite: 0x1302, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls12-renegotiated", server: mustBe + " -client_renegotiation", client: "-tls1_2 -cert ec.pem", more: "R more",
		want: outcome{version: TLS12, suite: 0xc02c, status: Presented, server: fact.Verified, established: fact.Yes, stopped: [2]string{"renegotiated", "renegotiated"}}},
	{name: "tls12-asked-to-renegotiate", server: "-cert ec.pem", client: "-tls1_2 -no_renegotiation", more: ".r .more",
		want: outcome{version: TLS12, suite: 0xc02c, status: NotRequested, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-key-updates", server: mustBe, client: "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -cert ec.pem", more: "K one k two .K .three .k .four five",
		want: outcome{version: TLS13, suite: 0x1301, status: Presented, server: fact.Verified, established: fact.Yes, said: [2]string{"one\ntwo\nfive\n", "three\nfour\n"}}},
	{name: "tls13-retried-chacha20", server: mustBe, client: "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256 -cert rsa.pem -curves P-384:P-256",
		want: outcome{version: TLS13, suite: 0x1303, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-ccm", server: mustBe, client: "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256 -cert ec.pem",
		want: outcome{version: TLS13, suite: 0x1304, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-ccm8", server: mustBe, client: "-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256 -cert ec.pem",
		want: outcome{version: TLS13, suite: 0x1305, status: Presented, server: fact.Verified, established: fact.Yes}},
	{name: "tls13-external-psk", server: "-nocert -psk 0123456789abcdef0123456789abcdef", client: "-tls1_3 -psk 0123456789abcdef0123456789abcdef -ciphersuites TLS_AES_128_GCM_SHA256",
		want: outcome{version: TLS13, suite: 0x1301, status: Resumed, established: fact.Yes}},
	{name: "tls13-asked-later", server: "-cert ec.pem", client: "-tls1_3 -enable_pha -cert ec.pem", more: ".c more",
		want: outcome{version: TLS13, suite: 0x1302, status: NotRequested, server: fact.Verified, established: fact.Yes, said: [2]string{"more\n", ""}}},
}

func TestOpenSSL(t *testing.T) {
	if *recordOpenSSL {
		recordAll(t)
	}
	for _, c := range opensslCases {
		t.Run(c.name, func(t *testing.T) {
			for i, r := range readConversations(t, c.name) {
				want := c.want
				if i > 0 {
					want.status, want.server = Resumed, fact.None
				}
				want.check(t, r)
			}
		})
	}
}

// check plays a conversation in every order, with its key log.
func (w outcome) check(t *testing.T, r *conversation) {
	t.Helper()
	f, said := r.opened(t, r.log.String(), inOrder)
	if f.Version != w.version || f.Suite != w.suite {
		t.Errorf("%s %s", f.Version, f.Suite)
	}
	if got := f.KeyLog; got != cmp.Or(w.keyLog, opened) {
		t.Errorf("key log %q", got)
	}
	basis := fact.Decrypted
	if !f.Version.Is13() {
		basis = fact.Verified
	}
	c, s := f.ClientCertificate, f.ServerCertificate
	if c.Status != w.status || w.status != StatusUnknown && c.Basis != basis || w.server != fact.None && s.Basis != basis {
		t.Errorf("client certificate %s (%s), server certificate (%s)", c.Status, c.Basis, s.Basis)
	}
	if c.Requested.Value != fact.Unknown && c.Requested.Basis != basis {
		t.Errorf("requested by %s", c.Requested.Basis)
	}
	possession := fact.None
	if w.status == Presented {
		possession = fact.Verified
	}
	if c.Possession != possession || s.Possession != w.server {
		t.Errorf("possession %s and %s, signatures %+v and %+v", c.Possession, s.Possession, c.Signature, s.Signature)
	}
	if f.Established.Value != w.established {
		t.Errorf("established %+v", f.Established)
	}
	if w.alert != "" && (len(f.Alerts) == 0 || f.Alerts[0].Name != w.alert) || w.alert == "" && len(f.Alerts) > 0 && f.Alerts[0].Basis == fact.Inferred {
		t.Errorf("alerts %+v", f.Alerts)
	}
	if got := [2]string{f.Opened[client].Stopped, f.Opened[server].Stopped}; got != w.stopped {
		t.Errorf("stopped by %q", got)
	}
	for side, text := range [2]string{"ping\n", "gnip\n"} {
		if w.established == fact.Yes && said[side] != text+w.said[side] {
			t.Errorf("side %d said %q", side, said[side])
		}
		if uint64(len(said[side])) != f.Opened[side].Bytes {
			t.Errorf("%d bytes of %d", len(said[side]), f.Opened[side].Bytes)
		}
	}
	r.sameInAnyOrder(t, r.log.String(), f, said)
}

// An order says whose chunk comes next, given the indices of each side's next.
type order func(next [2]int) (side int)

func inOrder(next [2]int) int {
	if next[client] < next[server] {
		return client
	}
	return server
}

func clientFirst([2]int) int { return client }
func serverFirst([2]int) int { return server }

func shuffled(seed uint64) order {
	random := rand.New(rand.NewPCG(seed, 1))
	return func([2]int) int { return random.IntN(2) }
}

// sameInAnyOrder: facts and data are the same however the directions are
// interleaved and cut.
func (r *conversation) sameInAnyOrder(t *testing.T, log string, want *Facts, said [2]string) {
	t.Helper()
	bytewise := new(conversation)
	for _, c := range r.chunks {
		for i := range c.data {
			at := c.at
			at.Offset += int64(i)
			bytewise.chunks = append(bytewise.chunks, chunk{c.side, at, c.data[i : i+1]})
		}
	}
	for name, play := range map[string]struct {
		r *conversation
		o order
	}{
		"byte by byte": {bytewise, inOrder}, "the client first": {r, clientFirst}, "the server first": {r, serverFirst},
		"shuffled": {r, shuffled(1)}, "shuffled again": {r, shuffled(2)}, "shuffled bytes": {bytewise, shuffled(3)},
	} {
		got, gotSaid := play.r.opened(t, log, play.o)
		if !reflect.DeepEqual(got, want) || gotSaid != said {
			t.Errorf("%s: %+v %q\nwant %+v %q", name, got, gotSaid, want, said)
		}
	}
}

// opened combines what was recorded, with a key log if it is not empty, and
// returns what each side said inside.
func (r *conversation) opened(t *testing.T, text string, o order) (*Facts, [2]string) {
	t.Helper()
	return r.withLog(t, logOf(t, text, secrets.Options{}), o)
}

func logOf(t testing.TB, text string, o secrets.Options) *secrets.Log {
	t.Helper()
	if text == "" {
		return nil
	}
	log := new(secrets.Log)
	if _, err := log.Read(strings.NewReader(text), o); err != nil {
		t.Fatal(err)
	}
	return log
}

func (r *conversation) withLog(t *testing.T, log *secrets.Log, o order) (*Facts, [2]string) {
	t.Helper()
	var streams [2]*Stream
	var said [2]string
	for side := range streams {
		streams[side] = NewStream(AtStart)
		streams[side].Retain(log, func(at tcp.Position, b []byte) {
			if at.Offset != int64(len(said[side])) {
				t.Errorf("side %d: data at %d, not %d", side, at.Offset, len(said[side]))
			}
			said[side] += string(b)
		})
	}
	r.play(o, func(c chunk) {
		streams[c.side].Data(c.at, c.data)
		Unlock(streams[client], streams[server])
	})
	for _, s := range streams {
		s.End()
	}
	return Combine(streams[client], streams[server], Ending{Whole: true, ClosedBy: RoleServer}), said
}

// play calls f for every chunk in an order; each side's are in their own.
func (r *conversation) play(o order, f func(chunk)) {
	var next [2]int // index into chunks of each side's next
	skip := func(side int) {
		for next[side] < len(r.chunks) && r.chunks[next[side]].side != side {
			next[side]++
		}
	}
	for {
		skip(client)
		skip(server)
		side := o(next)
		if next[side] == len(r.chunks) {
			side = 1 - side
		}
		if next[side] == len(r.chunks) {
			return
		}
		f(r.chunks[next[side]])
		next[side]++
	}
}

func recordingPath(name string) string { return filepath.Join("testdata", "openssl", name+".txt") }

// readConversations reads the connections of a recording: lines with a side,
// what it had received by then, and what it sent; and key log lines.
func readConversations(t testing.TB, name string) []*conversation {
	t.Helper()
	text, err := os.ReadFile(recordingPath(name))
	if err != nil {
		t.Fatal(err)
	}
	var out []*conversation
	var log []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		side, ok := map[string]int{"client": client, "server": server}[words[0]]
		switch {
		case words[0] == "connection":
			out = append(out, new(conversation))
		case !ok:
			log = append(log, line)
		default:
			r := out[len(out)-1]
			var acked int64
			fmt.Sscan(words[1], &acked)
			data := unhex(words[2])
			r.chunks = append(r.chunks, chunk{side, tcp.Position{Offset: r.sent[side], Acked: acked}, data})
			r.sent[side] += int64(len(data))
		}
	}
	for _, r := range out {
		r.log.WriteString(strings.Join(log, ""))
	}
	return out
}

func openssl(dir, args string) *exec.Cmd {
	cmd := exec.Command("openssl", strings.Fields(args)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(dir, "openssl.cnf"))
	return cmd
}

// config leaves out the extended master secret where a case is named so.
const config = "openssl_conf = main\n[main]\nssl_conf = ssl\n[ssl]\nsystem_default = options\n[options]\nOptions = %s\n[req]\ndistinguished_name = name\n[name]\n"

func recordAll(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("openssl.cnf", fmt.Sprintf(config, "ExtendedMasterSecret"))
	for name, key := range map[string]string{"ec": "ec -pkeyopt ec_paramgen_curve:P-256", "rsa": "rsa:2048", "ed25519": "ed25519"} {
		out, err := openssl(dir, "req -x509 -nodes -days 9999 -subj /CN=node -newkey "+key+" -keyout key.pem -out cert.pem").CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		var both []byte
		for _, file := range []string{"key.pem", "cert.pem"} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, b...)
		}
		write(name+".pem", string(both))
	}
	if err := os.MkdirAll(filepath.Dir(recordingPath("")), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range opensslCases {
		if old := recordingPath(c.name); flag.Lookup("test.run").Value.String() != "" && !strings.Contains(flag.Lookup("test.run").Value.String(), c.name) {
			if _, err := os.Stat(old); err == nil {
				continue // only what was asked for
			}
		}
		options := "ExtendedMasterSecret"
		if strings.Contains(c.name, "plain-master-secret") {
			options = "-" + options
		}
		write("openssl.cnf", fmt.Sprintf(config, options))
		os.Remove(filepath.Join(dir, "keys"))
		recordCase(t, dir, c)
	}
}

func recordCase(t *testing.T, dir string, c opensslCase) {
	server := openssl(dir, "s_server -accept 127.0.0.1:0 -num_tickets 1 -cipher ALL:COMPLEMENTOFALL:@SECLEVEL=0 -ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256 -curves X25519:P-256 "+c.server)
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

	var text bytes.Buffer
	fmt.Fprintf(&text, "# openssl s_server %s\n# openssl s_client %s %s\n", c.server, c.client, c.more)
	extra := []string{""}
	if c.resume {
		extra = []string{" -sess_out session.pem", " -sess_in session.pem"}
	}
	for _, more := range extra {
		recordConnection(t, dir, c, port, more, answers, &text)
	}
	keys, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(c.name, err)
	}
	text.Write(keys)
	if err := os.WriteFile(recordingPath(c.name), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func recordConnection(t *testing.T, dir string, c opensslCase, port, more string, answers io.Writer, text *bytes.Buffer) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := openssl(dir, "s_client -keylogfile keys -connect "+l.Addr().String()+" "+c.client+more)
	in, _ := cmd.StdinPipe()
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(text, "connection")
	var mu sync.Mutex
	var sent [2]int
	var wait sync.WaitGroup
	relay := func(side int, name string, from, to net.Conn) {
		wait.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := from.Read(buf)
				if n > 0 {
					mu.Lock()
					fmt.Fprintln(text, name, sent[1-side], hex.EncodeToString(buf[:n]))
					sent[side] += n
					_, _ = to.Write(buf[:n])
					mu.Unlock()
				}
				if err != nil {
					to.Close()
					return
				}
			}
		})
	}
	relay(client, "client", a, b)
	relay(server, "server", b, a)
	// A command must be all that is read at a time.
	pause := func() { time.Sleep(300 * time.Millisecond) }
	pause()
	fmt.Fprintln(in, "ping")
	pause()
	fmt.Fprintln(answers, "gnip")
	for _, word := range strings.Fields(c.more) {
		pause()
		if word, ok := strings.CutPrefix(word, "."); ok {
			fmt.Fprintln(answers, word)
		} else {
			fmt.Fprintln(in, word)
		}
	}
	pause()
	pause()
	fmt.Fprintln(in, "Q")
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(c.name, err, messages.String())
	}
	wait.Wait()
}

// TestResumedSessionsAreLinked: what the second connection came with is what the
// first was given.
func TestResumedSessionsAreLinked(t *testing.T) {
	for _, name := range []string{"tls12-resumed-by-id", "tls12-resumed-by-ticket", "tls13-resumed"} {
		var facts [2]*Facts
		for i, r := range readConversations(t, name) {
			facts[i], _ = r.opened(t, r.log.String(), inOrder)
		}
		issued, offered := facts[0].Issued, facts[1].Offered
		if !slices.ContainsFunc(offered, func(o Ticket) bool { return slices.Contains(issued, o) }) || !facts[0].Continues(facts[1]) {
			t.Errorf("%s: %x offered, %x issued", name, offered, issued)
		}
	}
}
