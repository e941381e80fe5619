package tls

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/secrets"
	"distproof/internal/wireshark"
)

// A reading is what crossed one direction of a connection, as either program
// reads it.
type reading struct {
	// messages are the handshake messages: the frame that completes each, and
	// its type. Those of TLS 1.3 behind the handshake are not among them.
	messages []string
	// alerts are frame and description.
	alerts       []string
	certificates []string // SHA-256
	serials      []string
	// names are hashes of session ids, tickets and pre-shared keys.
	names map[string][]string
	hello string // of the hello: suite and version, or the server name
	// sealed counts the messages that were opened.
	sealed int
}

// The fields that are asked of tshark, and their places in a line.
const (
	fieldFrame = iota
	fieldStream
	fieldPort
	fieldType
	fieldAlert
	fieldCertificate
	fieldSerial
	fieldSessionID
	fieldTicket
	fieldIdentity
	fieldSuite
	fieldVersion
	fieldSupported
	fieldServerName
)

var fields = []string{
	"frame.number", "tcp.stream", "tcp.srcport", "tls.handshake.type", "tls.alert_message.desc", "tls.handshake.certificate",
	"x509af.serialNumber", "tls.handshake.session_id", "tls.handshake.session_ticket", "tls.handshake.extensions.psk.identity.identity",
	"tls.handshake.ciphersuite", "tls.handshake.version", "tls.handshake.extensions.supported_version", "tls.handshake.extensions_server_name",
}

// TestAgreesWithTshark compares every handshake message of every capture with
// what tshark reads. There is no difference that is put up with; what is not
// compared is where post-handshake messages of TLS 1.3 are, of which only the
// tickets are, by their hash.
func TestAgreesWithTshark(t *testing.T) {
	tshark := wireshark.Tool(t, "tshark")
	seen := new(tally)
	dirs := captureDirs
	if testing.Short() {
		dirs = dirs[:1]
	}
	for _, dir := range dirs {
		paths, err := filepath.Glob(filepath.Join(dir, "*.pcap"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			t.Run(filepath.Base(path), func(t *testing.T) {
				t.Parallel()
				compare(t, tshark, path, seen)
			})
		}
	}
	t.Cleanup(func() { seen.check(t) })
}

// A tally counts what was compared.
type tally struct {
	mu       sync.Mutex
	messages int
	sealed   int // messages that a key log opened
}

func (c *tally) check(t *testing.T) {
	t.Helper()
	t.Logf("%d messages, %d of them opened", c.messages, c.sealed)
	if c.messages < 70 || c.sealed < 10 {
		t.Errorf("%d messages compared, %d of them opened", c.messages, c.sealed)
	}
}

func compare(t *testing.T, tshark, path string, seen *tally) {
	ours, ports := readCapture(t, path)
	theirs := readTshark(t, tshark, path, ports)
	for key, want := range theirs {
		got := ours[key]
		if got == nil {
			got = new(reading)
		}
		seen.add(len(want.messages), got.sealed)
		diff(t, key+" messages", got.messages, want.messages)
		diff(t, key+" alerts", got.alerts, want.alerts)
		diff(t, key+" certificates", got.certificates, want.certificates)
		diff(t, key+" serial numbers", got.serials, want.serials)
		for _, name := range []string{"session id", "ticket", "identity"} {
			diff(t, key+" "+name, got.names[name], want.names[name])
		}
		diff(t, key+" hello", []string{got.hello}, []string{want.hello})
	}
	for key, got := range ours {
		if theirs[key] == nil && len(got.messages)+len(got.alerts) > 0 {
			t.Errorf("%s: tshark has nothing of %v %v", key, got.messages, got.alerts)
		}
	}
}

func (c *tally) add(messages, sealed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages += messages
	c.sealed += sealed
}

func diff(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v, as tshark has it", what, got, want)
	}
}

func (r *reading) name(kind string, raw []byte) { r.hash(kind, ticketOf(raw)) }

func (r *reading) hash(kind string, t Ticket) {
	if t == (Ticket{}) {
		return
	}
	if r.names == nil {
		r.names = make(map[string][]string)
	}
	r.names[kind] = append(r.names[kind], fmt.Sprintf("%x", t[:8]))
}

// key names a direction: the connection's place in the capture, and the port
// that sends.
func key(stream int, port uint16) string { return fmt.Sprintf("%d from %d", stream, port) }

// readTshark has tshark read TLS on the given ports.
func readTshark(t *testing.T, tshark, path string, ports []uint16) map[string]*reading {
	t.Helper()
	// What EPMD announces it would take for distribution in the clear.
	args := []string{"-n", "-r", path, "--disable-protocol", "erldp", "-d", "udp.port==8472,vxlan", "-T", "fields", "-E", "separator=|"}
	for _, p := range ports {
		args = append(args, "-d", fmt.Sprintf("tcp.port==%d,tls", p))
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	if keys := strings.TrimSuffix(path, ".pcap") + ".keylog"; exists(keys) {
		args = append(args, "-o", "tls.keylog_file:"+keys)
	}
	out, err := exec.Command(tshark, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*reading)
	is13 := make(map[int]bool)
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "|")
		if f[fieldType] == "" && f[fieldAlert] == "" {
			continue
		}
		stream, port := number(t, f[fieldStream]), number(t, f[fieldPort])
		k := key(stream, uint16(port))
		r := all[k]
		if r == nil {
			r = new(reading)
			all[k] = r
		}
		r.frame(t, f, is13, stream)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// list splits the occurrences of a field in a frame.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// frame takes what tshark says of a frame.
func (r *reading) frame(t *testing.T, f []string, is13 map[int]bool, stream int) {
	for _, kind := range list(f[fieldType]) {
		switch HandshakeType(number(t, kind)) {
		case TypeServerHello:
			is13[stream] = f[fieldSupported] != ""
			r.hello = cmp.Or(f[fieldSupported], f[fieldVersion]) + " " + f[fieldSuite]
		case TypeClientHello:
			r.hello = f[fieldServerName]
		case TypeNewSessionTicket:
			if is13[stream] {
				continue
			}
		}
		r.messages = append(r.messages, f[fieldFrame]+":"+kind)
	}
	for _, a := range list(f[fieldAlert]) {
		r.alerts = append(r.alerts, f[fieldFrame]+":"+alertName(uint8(number(t, a))))
	}
	for _, c := range list(f[fieldCertificate]) {
		r.certificates = append(r.certificates, fmt.Sprintf("%x", sha256.Sum256(unhex(c)))[:16])
	}
	for _, s := range list(f[fieldSerial]) {
		n, ok := new(big.Int).SetString(strings.TrimPrefix(strings.ReplaceAll(s, ":", ""), "0x"), 16)
		if !ok {
			t.Fatal(s)
		}
		r.serials = append(r.serials, n.String())
	}
	for kind, field := range map[string]int{"session id": fieldSessionID, "ticket": fieldTicket, "identity": fieldIdentity} {
		for _, s := range list(f[field]) {
			r.name(kind, unhex(strings.ReplaceAll(s, ":", "")))
		}
	}
}

// readCapture reads a capture with our decoders, and tells on which ports a
// server speaks TLS.
func readCapture(t *testing.T, path string) (map[string]*reading, []uint16) {
	t.Helper()
	var log *secrets.Log
	if keys := strings.TrimSuffix(path, ".pcap") + ".keylog"; exists(keys) {
		text, err := os.ReadFile(keys)
		if err != nil {
			t.Fatal(err)
		}
		log = logOf(t, string(text), secrets.Options{})
	}
	all := make(map[string]*reading)
	var ports []uint16
	ends := endpoints(t, path)
	for i, c := range connections(t, path) {
		var streams [2]*Stream
		known := false
		for side, ps := range c {
			if ok, _ := Raw(head(ps)); !ok {
				continue
			}
			streams[side] = NewStream(AtStart)
			streams[side].Retain(log, nil)
			feed(streams[side], ps, 0)
			known = true
		}
		f := Combine(streams[client], streams[server], Ending{})
		if known && !slices.Contains(ports, ends[i][server]) {
			ports = append(ports, ends[i][server])
		}
		for side, s := range streams {
			if s != nil {
				all[key(i, ends[i][side])] = s.reading(f, side, c[side])
			}
		}
	}
	return all, ports
}

// endpoints returns the ports of the connections of a capture, the client's
// first, in the order in which they begin.
func endpoints(t *testing.T, path string) [][2]uint16 {
	t.Helper()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	decoder := link.NewDecoder(link.Options{})
	known := make(map[[2]link.Endpoint]bool)
	var out [][2]uint16
	var p capture.Packet
	var s link.Segment
	for {
		if err := files.Next(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		if decoder.Decode(&p, &s) && !known[[2]link.Endpoint{s.Src, s.Dst}] {
			known[[2]link.Endpoint{s.Src, s.Dst}], known[[2]link.Endpoint{s.Dst, s.Src}] = true, true
			out = append(out, [2]uint16{s.Src.Port, s.Dst.Port})
		}
	}
}

// reading is what a stream has found.
func (s *Stream) reading(f *Facts, side int, ps []part) *reading {
	r := new(reading)
	r.place(s.records(), s.clear, ps, func(r Record) int {
		if r.Type == TypeHandshake && !r.Sealed {
			return r.Length
		}
		return 0
	})
	chain := [2][][]byte{f.ClientCertificate.Chain, f.ServerCertificate.Chain}[side]
	if f.KeyLog == opened {
		r.opened(s, f, ps)
	}
	for _, a := range s.alerts {
		r.alerts = append(r.alerts, fmt.Sprint(completed(ps, a.Offset+headerLength+2), ":", a.Name()))
	}
	for _, der := range chain {
		r.certificates = append(r.certificates, fmt.Sprintf("%x", sha256.Sum256(der))[:16])
		if c, err := x509.ParseCertificate(der); err == nil {
			r.serials = append(r.serials, c.SerialNumber.String())
		}
	}
	if h := s.hello; h != nil {
		r.hello = h.ServerName
		r.hash("session id", h.SessionID)
		for _, t := range h.Identities {
			r.hash("identity", t)
		}
	}
	if h := s.server; h != nil {
		r.hello = fmt.Sprintf("0x%04x 0x%04x", uint16(h.Version), uint16(h.Suite))
		r.hash("session id", h.SessionID)
		for _, t := range f.Issued {
			if t != h.SessionID {
				r.hash("ticket", t)
			}
		}
	}
	return r
}

// opened adds what was sealed.
func (r *reading) opened(s *Stream, f *Facts, ps []part) {
	o := s.opening
	want, overhead := TypeApplicationData, f.Suite.recordOverhead13()
	if !f.Version.Is13() {
		want = TypeHandshake
	}
	clear := len(r.messages)
	r.place(s.records(), o.flight, ps, func(r Record) int {
		switch {
		case r.Type != want || !r.Sealed:
			return 0
		case !f.Version.Is13():
			return 16 // the Finished, alone
		}
		return r.Length - overhead
	})
	r.sealed = len(r.messages) - clear
	if o.alert != nil {
		at := s.sealedOf(want)[o.records-1]
		r.alerts = append(r.alerts, fmt.Sprint(completed(ps, at.End()), ":", alertName(o.alert[1])))
	}
	for _, a := range o.answers {
		if a.kind == TypeAlert && len(a.alert) == 2 {
			r.alerts = append(r.alerts, fmt.Sprint(completed(ps, a.record.End()), ":", alertName(a.alert[1])))
		}
	}
}

// place finds the frame in which each message was complete, given how many
// bytes of them a record holds.
func (r *reading) place(log []Record, messages []byte, ps []part, holds func(Record) int) {
	total := 0
	for rest := messages; len(rest) > 0; {
		kind, message, more := split(rest)
		if len(message) == 0 {
			return
		}
		total += len(message)
		sum := 0
		for _, record := range log {
			if sum += holds(record); sum >= total {
				r.messages = append(r.messages, fmt.Sprint(completed(ps, record.End()), ":", uint8(kind)))
				break
			}
		}
		rest = more
	}
}

// completed returns the frame that brought the byte before an offset.
func completed(ps []part, end int64) uint32 {
	for _, p := range ps {
		if p.gap == 0 && p.at.Offset < end && end <= p.at.Offset+int64(len(p.b)) {
			return p.at.Frame.Number
		}
	}
	return 0
}
