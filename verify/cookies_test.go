package verify

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// proof is MD5 of a cookie and a challenge in decimal.
func proof(cookie string, challenge uint32) [16]byte {
	return md5.Sum(fmt.Appendf([]byte(cookie), "%d", challenge))
}

// Challenges of the tests: the first does not fit into 31 bits.
const challengeOfServer, challengeOfClient = uint32(4_000_000_001), uint32(7)

// handshakes returns what two nodes with these cookies say. A server that has
// another one than the client does not answer.
func handshakes(clientCookie, serverCookie string) [2]dist.Handshake {
	sides := [2]dist.Handshake{
		{Challenge: challengeOfClient, Challenged: true, Digest: proof(clientCookie, challengeOfServer), Proved: true, Reply: true, DigestAt: tcp.Position{Frame: frame(8)}},
		{Challenge: challengeOfServer, Challenged: true},
	}
	if serverCookie != "" {
		s := &sides[server]
		s.Digest, s.Proved, s.Ack, s.DigestAt = proof(serverCookie, challengeOfClient), true, true, tcp.Position{Frame: frame(9)}
	}
	return sides
}

func known(c *Cookie) string {
	if c == nil {
		return ""
	}
	return c.Known()
}

func TestMatch(t *testing.T) {
	const couchDB = "a default of CouchDB up to 3.2.1 and of BigCouch"
	own := []Cookie{NewCookie("geheim", "line 1 of old"), NewCookie("schön", "line 2 of old")}
	change := func(s [2]dist.Handshake, f func(*[2]dist.Handshake)) [2]dist.Handshake { f(&s); return s }
	for _, row := range []struct {
		name           string
		sides          [2]dist.Handshake
		client, server string
	}{
		{"a product's", handshakes("monster", "monster"), couchDB, couchDB},
		{"the user's", handshakes("geheim", "geheim"), "line 1 of old", "line 1 of old"},
		{"neither", handshakes("not-in-any-list", "not-in-any-list"), "", ""},
		{"with a space", handshakes("secret cookie here", ""), "printed in documentation of RabbitMQ's container", ""},
		{"two cookies", handshakes("monster", "geheim"), couchDB, "line 1 of old"},
		{"as OTP hashes an atom", handshakes("sch\xf6n", ""), "line 2 of old", ""},
		{"as a C node hashes it", handshakes("schön", ""), "line 2 of old", ""},
		{"no answer", handshakes("monster", ""), couchDB, ""},
		{"a prefix", handshakes("monste", "monsterr"), "", ""},
		{"the server's challenge not captured", change(handshakes("monster", "monster"), func(s *[2]dist.Handshake) { s[server].Challenged = false }), "", couchDB},
		{"the client's challenge not captured", change(handshakes("monster", "monster"), func(s *[2]dist.Handshake) { s[client].Challenged = false }), couchDB, ""},
		{"another challenge", change(handshakes("monster", "monster"), func(s *[2]dist.Handshake) { s[server].Challenge++ }), "", couchDB},
		{"nothing", [2]dist.Handshake{}, "", ""},
	} {
		c, s := NewCookieCheck(own).Match(row.sides[client], row.sides[server])
		if known(c) != row.client || known(s) != row.server {
			t.Errorf("%s: %q and %q, want %q and %q", row.name, known(c), known(s), row.client, row.server)
		}
	}
}

// TestMatchInAnyOrder: what was found first is tried first, and nothing is lost.
func TestMatchInAnyOrder(t *testing.T) {
	var own []Cookie
	for i := range 9 {
		own = append(own, NewCookie(fmt.Sprint("c", i), fmt.Sprint(i)))
	}
	check := NewCookieCheck(own)
	for _, i := range []int{5, 5, 0, 8, 5, 3, 1, 2, 4, 6, 7, 0} {
		sides := handshakes(fmt.Sprint("c", i), "")
		if c, _ := check.Match(sides[client], sides[server]); known(c) != fmt.Sprint(i) {
			t.Errorf("%d: found %q", i, known(c))
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(check.order)))); n != len(own)+len(shipped()) {
		t.Errorf("%d cookies left", n)
	}
}

func TestTriesAreBounded(t *testing.T) {
	check := NewCookieCheck(nil)
	check.left = len(shipped()) + 1
	sides := handshakes("nobody's", "nobody's")
	check.Match(sides[client], sides[server])
	if check.Unchecked != 1 || check.left != 0 {
		t.Errorf("%d unchecked, %d tries left", check.Unchecked, check.left)
	}
	r := ruler{cookies: check}
	r.uncheckedCookies()
	if len(r.findings) != 1 || r.findings[0].Severity != Info || r.findings[0].Message != "1 proof of a cookie was not tried on all known cookies: there are too many" {
		t.Errorf("%+v", r.findings)
	}
}

// TestTried: what came of trying cookies is found again without trying them, is counted
// as if they were tried, and is forgotten when it is not asked for.
func TestTried(t *testing.T) {
	own := []Cookie{NewCookie("first", "the first"), NewCookie("second", "the second")}
	asked := [][2]dist.Handshake{handshakes("second", "second"), handshakes("nobody's", "first"), handshakes("monster", "nobody's")}
	tried := new(Tried)
	match := func(tried *Tried, tries int, forget bool) (found []string, left, unchecked int) {
		check := NewCookieCheck(own)
		check.tried, check.left = tried, tries
		if tried.turn(); forget { // what proves nothing finds nothing
			for i := range check.cookies {
				check.cookies[i].forms = nil
			}
		}
		for _, sides := range asked {
			c, s := check.Match(sides[client], sides[server])
			found = append(found, known(c), known(s))
		}
		return found, check.left, check.Unchecked
	}
	want, left, _ := match(nil, maxTries, false)
	match(tried, maxTries, false)
	for range 3 {
		if got, l, _ := match(tried, maxTries, true); !slices.Equal(got, want) || l != left {
			t.Errorf("found %q with %d tries left, want %q with %d", got, l, want, left)
		}
	}
	for tries := range maxTries - left {
		want, left, unchecked := match(nil, tries, false)
		got, l, u := match(tried, tries, true)
		if !slices.Equal(got, want) || l != left || u != unchecked || u == 0 {
			t.Errorf("with %d tries found %q with %d left and %d unchecked, want %q, %d and %d", tries, got, l, u, want, left, unchecked)
		}
		match(tried, maxTries, false) // none of it is forgotten
	}
	tried.turn()
	tried.turn()
	if got, _, _ := match(tried, maxTries, true); slices.ContainsFunc(got, func(s string) bool { return s != "" }) {
		t.Errorf("found %q that was not asked for lately", got)
	}
}

// TestCookieTable: every row has a cookie, what it is of, and where that is
// written; no cookie is there twice, and none in what is printed.
func TestCookieTable(t *testing.T) {
	rows, seen := 0, make(map[string]bool)
	for line := range bytes.Lines(cookieTable) {
		if line[0] == '#' {
			continue
		}
		rows++
		fields := strings.Split(strings.TrimSpace(string(line)), "|")
		if len(fields) != 3 {
			t.Fatalf("not three fields: %q", line)
		}
		for i := range fields {
			if fields[i] = strings.TrimSpace(fields[i]); fields[i] == "" {
				t.Errorf("an empty field: %q", line)
			}
		}
		if seen[fields[0]] {
			t.Errorf("twice: %q", line)
		}
		seen[fields[0]] = true
		if product := regexp.MustCompile(`^(a default of|printed in|in|what) .+`); !product.MatchString(fields[1]) {
			t.Errorf("no product: %q", fields[1])
		}
		// The names of some products are in their cookies; else nothing is given away.
		if len(fields[0]) > 8 && strings.Contains(strings.ToLower(fields[1]), strings.ToLower(fields[0])) {
			t.Errorf("printed: %q", line)
		}
	}
	if got := len(shipped()); got != rows || rows < 20 {
		t.Errorf("%d cookies of %d rows", got, rows)
	}
}

func TestReadCookies(t *testing.T) {
	list, err := ReadCookies(strings.NewReader("\ufeff# old ones\n\n  first \r\nwith space\n#\nlast"), "old.txt")
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	for i, want := range []struct{ text, known string }{{"first", "line 3 of old.txt"}, {"with space", "line 4 of old.txt"}, {"last", "line 6 of old.txt"}} {
		if string(list[i].forms[0]) != want.text || list[i].Known() != want.known {
			t.Errorf("%d: %q, %s", i, list[i].forms, list[i].Known())
		}
	}
	long := strings.Repeat("geheim", 1000)
	for text, want := range map[string]string{
		"":                                       "no cookie found",
		"# nothing\n\n":                          "no cookie found",
		"a\n" + long[:1021]:                      "line 2 is longer than any cookie",
		"a\nb\n" + long:                          "line 3 is longer than any cookie",
		"# a\n" + long + "\n":                    "line 2 is longer than any cookie",
		strings.Repeat("geheim\n", MaxCookies+1): "line 10001: more than 10000 cookies",
	} {
		if list, err := ReadCookies(strings.NewReader(text), "old.txt"); err == nil || err.Error() != want || list != nil {
			t.Errorf("%.20q: %d cookies, error %v, want %q", text, len(list), err, want)
		}
	}
	if list, err := ReadCookies(strings.NewReader(strings.Repeat("a\n", MaxCookies)), ""); err != nil || len(list) != MaxCookies {
		t.Errorf("at the limit: %d, %v", len(list), err)
	}
}

// TestCookiesAreNotPrinted: not by any verb, nor in JSON.
func TestCookiesAreNotPrinted(t *testing.T) {
	c := NewCookie("geheim-ö", "line 1 of old")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{c, &c, []Cookie{c}, Options{Cookies: []Cookie{c}}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "geheim") || strings.Contains(got, "67656865696d") || strings.Contains(got, "103 101 104") || strings.Contains(got, "0x67, 0x65") {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	if b, err := json.Marshal(map[string]any{"cookie": c}); err != nil || strings.Contains(string(b), "geheim") {
		t.Errorf("%s, %v", b, err)
	}
}

// proving gives a connection in the clear the handshakes of nodes with these cookies.
func proving(clientCookie, serverCookie string) change {
	return func(c *decode.Connection) {
		for side, h := range handshakes(clientCookie, serverCookie) {
			d := &c.Dist[side].Handshake
			h.Name, h.NameAt, h.Version = d.Name, d.NameAt, d.Version
			*d = h
		}
		if serverCookie == "" {
			c.Dist[client].Connected, c.Dist[server].Connected = false, false
		}
	}
}

// insideTLS has a connection's handshake read inside TLS with a key log.
func insideTLS(clientCookie, serverCookie string) change {
	return func(c *decode.Connection) {
		c.IsDecrypted, c.Decrypted = true, new([2]dist.Facts)
		for side, h := range handshakes(clientCookie, serverCookie) {
			c.Decrypted[side] = dist.Facts{Handshake: h, Connected: serverCookie != ""}
		}
	}
}

func TestKnownCookieFindings(t *testing.T) {
	own := []Cookie{NewCookie("geheim", "line 1 of old")}
	for _, row := range []struct {
		name string
		c    *decode.Connection
		want string
	}{
		{"unknown", with(clear(), proving("x", "x")), ""},
		{"known", with(clear(), proving("geheim", "geheim")), "DP206 critical ×1: the cookie is known: line 1 of old"},
		{"turned away", with(clear(), proving("geheim", ""), closedBy(tls.RoleServer)), "DP206 high ×1: a client proved a known cookie and was turned away: line 1 of old"},
		{"the client closed: the server may have accepted", with(clear(), proving("geheim", ""), closedBy(tls.RoleClient)), "DP206 critical ×1: the cookie is known: line 1 of old"},
		{"inside TLS, unknown", with(mutual(), insideTLS("x", "x")), ""},
		{"inside TLS, known", with(mutual(), insideTLS("geheim", "geheim")), "DP206 medium ×1: the cookie, proved inside TLS, is known: line 1 of old"},
		{"inside TLS, turned away", with(mutual(), insideTLS("geheim", ""), closedBy(tls.RoleServer)), "DP206 medium ×1: a client proved a known cookie inside TLS and was turned away: line 1 of old"},
		{"inside TLS, the client closed", with(mutual(), insideTLS("geheim", ""), closedBy(tls.RoleClient)), "DP206 medium ×1: the cookie, proved inside TLS, is known: line 1 of old"},
		{"the end not captured", with(clear(), proving("geheim", "")), "DP206 critical ×1: the cookie is known: line 1 of old"},
	} {
		j := Judge(capture(row.c), Coverage{}, Options{Cookies: own})
		if got := about(j, KnownCookie); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
		for _, f := range j.Findings {
			if strings.Contains(fmt.Sprintf("%+v", f), "geheim") {
				t.Errorf("%s: printed in %+v", row.name, f)
			}
		}
	}
	j := Judge(capture(with(clear(), proving("geheim", "geheim"))), Coverage{}, Options{Cookies: own})
	for _, f := range j.Findings {
		if f.Rule == KnownCookie && (len(f.Evidence) != 2 || f.Evidence[0].Frame != frame(8) || f.Evidence[1].Frame != frame(9)) {
			t.Errorf("evidence %+v", f.Evidence)
		}
	}
}
