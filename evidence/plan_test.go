package evidence

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/report"
)

func between(client, server string, protocol decode.Protocol, basis ...string) *decode.Connection {
	return &decode.Connection{
		Protocol: protocol, ProtocolBasis: basis, RolesBasis: "syn",
		Ends: [2]decode.End{{Address: netip.MustParseAddrPort(client)}, {Address: netip.MustParseAddrPort(server)}},
	}
}

// The connections that a verdict rests on come along.
func TestSupport(t *testing.T) {
	const a, b, n = "10.0.0.1:40000", "10.0.0.1:40001", "10.0.0.2:9100"
	full := between(b, n, decode.DistTLS, "record-sizes")
	resumed := between(a, n, decode.DistTLS, "record-sizes")
	resumed.ResumedFrom = full
	disputed := between(a, n, decode.DistTLS, "record-sizes")
	disputed.Disputed = true
	clear := between(b, n, decode.Dist, "handshake")
	clear.Dist = &[2]dist.Facts{decode.Server: {Handshake: dist.Handshake{Version: 6}}}
	shown := between(a, n, decode.DistTLS, "listener")
	other := between(b, "10.0.0.2:9200", decode.DistTLS, "record-sizes")
	tests := []struct {
		name string
		all  []*decode.Connection
		of   int
		want []support
	}{
		{"by itself", []*decode.Connection{full, other}, 0, nil},
		{"resumed", []*decode.Connection{other, full, resumed}, 2, []support{{1, "has the full handshake of the session that was resumed"}}},
		{"resumed later", []*decode.Connection{resumed, full}, 0, []support{{1, "has the full handshake of the session that was resumed"}}},
		{"disputed", []*decode.Connection{full, disputed, between(n, a, decode.None)}, 1, []support{{2, "has the same addresses and ports"}}},
		{"a listener in the clear", []*decode.Connection{other, clear, shown}, 2, []support{{1, "shows that distribution listens on the port"}}},
		{"a listener by TLS", []*decode.Connection{shown, other, full}, 0, []support{{2, "shows that distribution listens on the port"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newSupporters(&decode.Capture{Connections: tt.all}).of(tt.of)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(support{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// No connection, whatever it rests on, makes a bundle of everything.
func TestSupportIsBounded(t *testing.T) {
	var all []*decode.Connection
	for range 100 {
		c := between("10.0.0.1:40000", "10.0.0.2:9100", decode.DistTLS, "record-sizes")
		c.Disputed = true
		all = append(all, c)
	}
	if got := newSupporters(&decode.Capture{Connections: all}).of(50); len(got) != maxSupport {
		t.Errorf("%d connections", len(got))
	}
}

// Of a long connection those packets are taken that the verdict is read from.
func TestCut(t *testing.T) {
	const client, server = "10.0.0.1:40000", "10.0.0.2:9100"
	c := between(client, server, decode.DistTLS, "record-sizes")
	c.TCP = [2]tcp.Stats{{Bytes: 1 << 30, End: 1 << 30}, {Bytes: 1 << 20, End: 1 << 20}}
	c.TLS = &tls.Facts{Session: &tls.Session{Version: tls.TLS12, Shape: tls.Shape{Stage: tls.StageAck}}}
	for side, count := range [2]int{30, 30} {
		var records []tls.Record
		for i := range count { // records of 95 bytes with their headers; the first three are not encrypted
			records = append(records, tls.Record{Type: tls.TypeApplicationData, Sealed: i > 2, Length: 95, Offset: int64(100 * i)})
		}
		c.TLS.Records[side] = tls.NewRecords(records...)
	}
	c.TLS.Foreign[decode.Client] = &tls.Foreign{Offset: 1 << 29}
	p := &pick{cut: cutOf(c, narrow, small), client: c.Ends[decode.Client].Address}
	if want := [2]int64{600, 700}; p.cut.prefix != want { // Finished and two or three messages of distribution
		t.Fatalf("prefix %v, want %v", p.cut.prefix, want)
	}
	segment := func(from string, flags link.Flags, n int) *link.Segment {
		at := netip.MustParseAddrPort(from)
		return &link.Segment{Src: link.Endpoint{Addr: at.Addr().As16(), Port: at.Port()}, Flags: flags, Length: n}
	}
	steps := []struct {
		name   string
		s      *link.Segment
		offset int64
		placed bool
		acked  int64
		want   bool
	}{
		{"the client's handshake", segment(client, link.ACK, 650), 0, true, 0, true},
		{"more of the client's, before the server's is over", segment(client, link.ACK, 100), 650, true, 0, true},
		{"the server's handshake", segment(server, link.ACK, 700), 0, true, 750, true},
		{"its acknowledgement", segment(client, link.ACK, 0), 750, true, 700, true},
		{"what follows", segment(client, link.ACK, 1000), 750, true, 700, false},
		{"the acknowledgement of what is not taken", segment(server, link.ACK, 0), 700, true, 1750, false},
		{"a retransmission of the handshake", segment(client, link.ACK, 100), 500, true, 700, true},
		{"a segment that has no place", segment(client, link.ACK, 100), 0, false, 0, true},
		{"another SYN", segment(client, link.SYN, 0), 5 << 20, true, 0, true},
		{"what is TLS long before it is not", segment(client, link.ACK, 1000), 1 << 28, true, 700, false},
		{"where it is not TLS", segment(client, link.ACK, 1000), 1<<29 - 500, true, 700, true},
		{"the end", segment(client, link.FIN|link.ACK, 0), 1 << 30, true, 700, false},
		{"a reset in the handshake", segment(server, link.RST, 0), 700, true, 0, false},
	}
	for _, s := range steps {
		place := decode.Place{Offset: s.offset, Placed: s.placed}
		if got := p.wants(s.s, place, s.acked, s.s.Flags.Has(link.ACK)); got != s.want {
			t.Errorf("%s: %t", s.name, got)
		}
	}
}

// Names of nodes are somebody else's: they cannot lead out of the folder.
func TestNames(t *testing.T) {
	at := func(node, host, address string) report.Endpoint {
		return report.Endpoint{Node: node, Host: host, Address: address}
	}
	tests := []struct {
		client, server report.Endpoint
		want           string
	}{
		{at("demo@n1.lab", "", ""), at("demo@n2.lab", "", ""), "c1-demo@n1.lab-demo@n2.lab"},
		{at("", "n1.lab", "10.0.0.1"), at("", "", "fd77::1"), "c1-unknown@n1.lab-fd77__1"},
		{at("../../etc/passwd@x", "", ""), at(`..\..\x@y`, "", ""), "c1-.._.._etc_passwd@x-.._.._x@y"},
		{at("a\x00b@\x1b[31m", "", ""), at("a\nb  c$(id)`id`;|&*?<>\"'@x", "", ""), "c1-a_b@__31m-a_b__c__id__id__________@x"},
		{at("knoten@\u202eгород", "", ""), at(strings.Repeat("a", 300), "", ""), "c1-knoten@______-" + strings.Repeat("a", 60)},
		{at("\xff\xfe@x", "", ""), at("-rf", "", ""), "c1-__@x--rf"},
	}
	for _, tt := range tests {
		if got := nameOf(&report.Connection{ID: "c1", Client: tt.client, Server: tt.server}); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A bundle has no secrets but the two of the handshake, and those only if they
// are wanted, and opened it.
func TestSecrets(t *testing.T) {
	random := [32]byte{1, 2, 3}
	line := func(label string, fill byte) string {
		n := 32
		if label == "CLIENT_RANDOM" {
			n = 48
		}
		return fmt.Sprintf("%s %x %x\n", label, random, strings.Repeat(string(rune(fill)), n))
	}
	handshake := line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 'a') + line("SERVER_HANDSHAKE_TRAFFIC_SECRET", 'b')
	traffic := line("CLIENT_TRAFFIC_SECRET_0", 'c') + line("SERVER_TRAFFIC_SECRET_0", 'd') + line("CLIENT_EARLY_TRAFFIC_SECRET", 'e') +
		line("CLIENT_RANDOM", 'f') + line("EXPORTER_SECRET", 'g')
	tests := []struct {
		name, log, state string
		version          tls.Version
		include          bool
		want             string
	}{
		{"handshake", handshake, "opened", tls.TLS13, true, handshake},
		{"all", traffic + handshake, "opened", tls.TLS13, true, handshake},
		{"not wanted", handshake, "opened", tls.TLS13, false, ""},
		{"did not open", handshake, "the tag does not match", tls.TLS13, true, ""},
		{"no handshake secrets", traffic, "opened", tls.TLS13, true, ""},
		{"TLS 1.2", traffic + handshake, "opened", tls.TLS12, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := new(secrets.Log)
			if _, err := log.Read(strings.NewReader(tt.log), secrets.Options{}); err != nil {
				t.Fatal(err)
			}
			c := between("10.0.0.1:40000", "10.0.0.2:9100", decode.DistTLS)
			c.TLS = &tls.Facts{Client: &tls.ClientHello{Random: random}, Session: &tls.Session{Version: tt.version, KeyLog: tt.state}}
			w := writer{c: Case{Facts: &decode.Capture{Connections: []*decode.Connection{c}}, Secrets: log}, o: Options{IncludeSecrets: tt.include}}
			if got := string(w.secretsOf(0)); got != tt.want {
				t.Errorf("secrets\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// What a peer sends cannot drive the terminal of who reads the comments.
func TestNotesAreSafe(t *testing.T) {
	n := make(notes)
	f := &tls.Facts{Session: new(tls.Session), Client: &tls.ClientHello{ServerName: "a\x1b[2J\u202eb"}}
	f.Records[decode.Client] = tls.NewRecords(tls.Record{Type: tls.TypeHandshake, Message: tls.TypeClientHello, Frame: decode.Frame{Number: 1}})
	f.ClientCertificate.Signature = fact.NoBy(fact.Verified, "")
	n.tls(&decode.Connection{TLS: f})
	want := `ClientHello, SNI a\x1b[2J\u{202e}b`
	if got := n[decode.Frame{Number: 1}]; len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
}
