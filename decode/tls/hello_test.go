package tls

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
)

// fullClientHello has every extension that is read.
var fullClientHello = cat(
	3, 3, // legacy_version
	random,
	v8("session"),
	v16(u16s(0x1302, 0xc02c)),
	v8(0), // compression methods
	v16(
		ext(extServerName, v16(
			9, v16("other kind of name"),
			0, v16("n2.lab"),
			0, v16("second.lab"))),
		ext(extSupportedVersions, v8(u16s(0x0304, 0x0303))),
		ext(extSupportedGroups, v16(u16s(0x11ec, 29))),
		ext(extSignatureAlgorithms, v16(u16s(0x0403, 0x0804))),
		ext(extALPN, v16(v8("h2"), v8("http/1.1"))),
		ext(extSessionTicket, "ticket"),
		ext(extPostHandshakeAuth),
		ext(extExtendedMasterSecret),
		ext(extEarlyData),
		ext(0xff01, 0), // not read
		ext(extPreSharedKey, v16(v16("identity"), zeros(4)), v16(v8(zeros(32)))),
	),
)

func TestReadClientHello(t *testing.T) {
	got, err := readClientHello(fullClientHello)
	if err != nil {
		t.Fatal(err)
	}
	want := &ClientHello{
		LegacyVersion: TLS12, Random: [32]byte(random), SessionID: sha256.Sum256([]byte("session")),
		Suites: []Suite{0x1302, 0xc02c}, Extensions: []uint16{0, 43, 10, 13, 16, 35, 49, 23, 42, 0xff01, 41},
		ServerName: "n2.lab", Versions: []Version{TLS13, TLS12}, Groups: []uint16{0x11ec, 29}, SignatureAlgorithms: []uint16{0x0403, 0x0804},
		ALPN: []string{"h2", "http/1.1"}, Ticket: sha256.Sum256([]byte("ticket")),
		Identities: []Ticket{sha256.Sum256([]byte("identity"))},
		PSK:        true, EarlyData: true, PostHandshakeAuth: true, ExtendedMasterSecret: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadClientHelloWithoutExtensions(t *testing.T) {
	got, err := readClientHello(cat(3, 0, random, v8(), v16(u16s(5)), v8(0)))
	want := &ClientHello{LegacyVersion: SSL30, Random: [32]byte(random), Suites: []Suite{5}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// fullServerHello has every extension that is read.
var fullServerHello = cat(
	3, 3, // legacy_version
	random,
	v8("session"),
	u16(0x1301),
	0, // compression method
	v16(
		takes13,
		ext(extKeyShare, u16(29), v16(zeros(32))),
		ext(extPreSharedKey, u16(0)),
		ext(extSessionTicket),
		ext(extEncryptThenMAC),
		ext(extExtendedMasterSecret),
	),
)

func TestReadServerHello(t *testing.T) {
	rows := map[string]struct {
		body []byte
		want ServerHello
	}{
		"everything": {fullServerHello, ServerHello{Version: TLS13, Random: [32]byte(random), SessionID: sha256.Sum256([]byte("session")),
			Suite: 0x1301, Group: 29, PSK: true, Ticket: true, EncryptThenMAC: true, ExtendedMasterSecret: true}},
		"no extensions": {cat(3, 1, random, v8(), u16(0x002f), 0), ServerHello{Version: TLS10, Random: [32]byte(random), Suite: 0x002f}},
		"HelloRetryRequest": {cat(3, 3, retryRandom[:], v8(), u16(0x1302), 0, v16(takes13, ext(extKeyShare, u16(24)))),
			ServerHello{Version: TLS13, Random: retryRandom, Suite: 0x1302, Group: 24, Retry: true}},
		"draft 18: neither session id nor compression method": {cat(0x7f, 18, random, u16(0x1302), v16(ext(extKeyShare, u16(29), v16(zeros(32))))),
			ServerHello{Version: 0x7f12, Random: [32]byte(random), Suite: 0x1302, Group: 29}},
		"draft 28: in supported_versions": {serverHello(0x1302, ext(extSupportedVersions, 0x7f, 28)),
			ServerHello{Version: 0x7f1c, Random: [32]byte(random), Suite: 0x1302}},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			got, err := readServerHello(r.body)
			if err != nil || *got != r.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, r.want)
			}
		})
	}
	// The value is printed in RFC 8446, Section 4.1.3.
	if !bytes.Equal(retryRandom[:], unhex(`CF 21 AD 74 E5 9A 61 11 BE 1D 8C 02 1E 65 B8 91
		C2 A2 11 16 7A BB 8C 5E 07 9E 09 E2 C8 A8 33 9C`)) {
		t.Errorf("random of a HelloRetryRequest: % x", retryRandom)
	}
}

// fullCertificate has a chain of two.
var fullCertificate = v24(v24("own"), v24("issuer's"))

func TestReadCertificate(t *testing.T) {
	chain, err := readCertificate12(NewTables(), fullCertificate)
	if err != nil || len(chain) != 2 || string(chain[0]) != "own" || string(chain[1]) != "issuer's" {
		t.Errorf("%q, %v", chain, err)
	}
	if chain, err := readCertificate12(NewTables(), v24()); err != nil || len(chain) != 0 {
		t.Errorf("empty list: %q, %v", chain, err)
	}
}

// readers read a message's body and return the error.
var readers = map[string]struct {
	body []byte
	read func([]byte) error
	// whole are the lengths of prefixes that are messages too.
	whole []int
}{
	"ClientHello": {fullClientHello, func(b []byte) error { _, err := readClientHello(b); return err }, []int{2 + 32 + 8 + 6 + 2}},
	"ServerHello": {fullServerHello, func(b []byte) error { _, err := readServerHello(b); return err }, []int{2 + 32 + 8 + 2 + 1}},
	"Certificate": {fullCertificate, func(b []byte) error { _, err := readCertificate12(NewTables(), b); return err }, nil},
}

func TestReadersRefusePrefixesAndMore(t *testing.T) {
	for name, r := range readers {
		t.Run(name, func(t *testing.T) {
			whole := map[int]bool{len(r.body): true}
			for _, n := range r.whole {
				whole[n] = true
			}
			for n := range len(r.body) + 1 {
				if err := r.read(r.body[:n]); (err == nil) != whole[n] {
					t.Errorf("%d of %d bytes: %v", n, len(r.body), err)
				}
			}
			if err := r.read(cat(r.body, 0)); err == nil || !strings.Contains(err.Error(), "1 trailing bytes") {
				t.Errorf("with a trailing byte: %v", err)
			}
		})
	}
}

func TestReadersRefuse(t *testing.T) {
	rows := map[string]struct {
		reader string
		body   []byte
	}{
		"client: extension twice":        {"ClientHello", clientHello(ext(extALPN, v16()), ext(0x1234), ext(extALPN, v16()))},
		"client: unknown one twice":      {"ClientHello", clientHello(ext(0x1234), ext(0x1234))},
		"client: odd suites":             {"ClientHello", cat(3, 3, random, v8(), v16(0x13), v8(0))},
		"client: name beyond its list":   {"ClientHello", clientHello(ext(extServerName, v16(0, u16(7), "n2.lab")))},
		"client: list beyond extension":  {"ClientHello", clientHello(ext(extServerName, u16(10), 0, v16("n2.lab")))},
		"client: half a version":         {"ClientHello", clientHello(ext(extSupportedVersions, v8(3)))},
		"client: half a group":           {"ClientHello", clientHello(ext(extSupportedGroups, v16(0)))},
		"client: half an algorithm":      {"ClientHello", clientHello(ext(extSignatureAlgorithms, v16(4, 3, 8)))},
		"client: protocol beyond list":   {"ClientHello", clientHello(ext(extALPN, v16(3, "h2")))},
		"server: extension twice":        {"ServerHello", serverHello(0x1302, takes13, takes13)},
		"server: no version selected":    {"ServerHello", serverHello(0x1302, ext(extSupportedVersions))},
		"server: half a version":         {"ServerHello", serverHello(0x1302, ext(extSupportedVersions, 3))},
		"server: two versions selected":  {"ServerHello", serverHello(0x1302, ext(extSupportedVersions, 3, 4, 3, 3))},
		"server: half a group":           {"ServerHello", serverHello(0x1302, takes13, ext(extKeyShare, 0))},
		"certificate: empty one":         {"Certificate", v24(v24("own"), v24())},
		"certificate: beyond the list":   {"Certificate", v24(u24(4), "own")},
		"certificate: list of two bytes": {"Certificate", cat(0, 2, 0, 0)},
	}
	for name, r := range rows {
		if err := readers[r.reader].read(r.body); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReadECDHGroup(t *testing.T) {
	for _, r := range []struct {
		body []byte
		want uint16
	}{
		{cat(3, u16(23), v8(zeros(65))), 23}, // named_curve
		{cat(1, u16(23)), 0},                 // explicit_prime
		{v16(zeros(256)), 0},                 // DHE: the prime
		{[]byte{3, 0}, 0},
		{nil, 0},
	} {
		if got := readECDHGroup(r.body); got != r.want {
			t.Errorf("% x: group %d, want %d", r.body[:min(4, len(r.body))], got, r.want)
		}
	}
}

func TestReadSessionTicket(t *testing.T) {
	if got := readSessionTicket12(cat(zeros(4), v16("ticket"))); got != sha256.Sum256([]byte("ticket")) {
		t.Errorf("ticket %x", got)
	}
	for name, body := range map[string][]byte{"none": cat(zeros(4), v16()), "cut": cat(zeros(4), u16(7), "ticket"), "empty": nil} {
		if got := readSessionTicket12(body); got != (Ticket{}) {
			t.Errorf("%s: ticket %x", name, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, r := range []struct {
		v    Version
		text string
		is13 bool
	}{
		{0, "", false}, {SSL30, "SSL3.0", false}, {TLS10, "1.0", false}, {TLS11, "1.1", false}, {TLS12, "1.2", false}, {TLS13, "1.3", true},
		{0x0305, "0x0305", false}, {0x7f12, "1.3-draft18", true}, {0x7f1c, "1.3-draft28", true}, {0x7e02, "0x7e02", false}, {0x0200, "0x0200", false},
	} {
		if r.v.String() != r.text || r.v.Is13() != r.is13 {
			t.Errorf("%#04x: %q, 1.3 %t", uint16(r.v), r.v, r.v.Is13())
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Suite(0x1302).String():         "TLS_AES_256_GCM_SHA384",
		Suite(0).String():              "",
		Suite(0xabcd).String():         "TLS_UNKNOWN_0xABCD",
		GroupName(0x11ec):              "X25519MLKEM768",
		GroupName(0):                   "",
		GroupName(0xabcd):              "group 0xabcd",
		Alert{Description: 116}.Name(): "certificate_required",
		Alert{Description: 250}.Name(): "alert 250",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for s, want := range map[Suite]struct {
		encrypts, anonymous, preShared, integrityOnly bool
		weaknesses                                    string
	}{
		0x1302: {encrypts: true},
		0xc02c: {encrypts: true},
		0x009d: {encrypts: true, weaknesses: "no forward secrecy"},
		0x002f: {encrypts: true, weaknesses: "no forward secrecy, CBC mode"},
		0x000a: {encrypts: true, weaknesses: "3DES, no forward secrecy, CBC mode"},
		0xc014: {encrypts: true, weaknesses: "CBC mode"},
		0x0018: {encrypts: true, anonymous: true, weaknesses: "anonymous key exchange: neither side is authenticated, RC4"},
		0x003b: {integrityOnly: true, weaknesses: "no encryption, no forward secrecy"},
		0xc0b4: {integrityOnly: true, weaknesses: "no encryption"},
		0x00a8: {encrypts: true, preShared: true, weaknesses: "no forward secrecy"},
		0xabcd: {},
	} {
		if s.Encrypts() != want.encrypts || s.Anonymous() != want.anonymous || s.PreShared() != want.preShared || s.IntegrityOnly() != want.integrityOnly {
			t.Errorf("%s: encrypts %t, anonymous %t, pre-shared %t, integrity only %t", s, s.Encrypts(), s.Anonymous(), s.PreShared(), s.IntegrityOnly())
		}
		if got := strings.Join(s.Weaknesses(), ", "); got != want.weaknesses {
			t.Errorf("%s: %q, want %q", s, got, want.weaknesses)
		}
	}
}

func TestReadCompression(t *testing.T) {
	for _, method := range []uint8{0, 1} { // null, DEFLATE (RFC 3749)
		h, err := readServerHello(cat(3, 3, random, v8(), u16(0xc02c), int(method)))
		if err != nil || h.Compression != method {
			t.Errorf("%d: %+v, %v", method, h, err)
		}
	}
}
