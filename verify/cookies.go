package verify

import (
	"bufio"
	"bytes"
	"crypto/md5"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/tls"
	"distproof/internal/plural"
)

// A Cookie is one that is known. It never prints itself, whatever the format.
type Cookie struct {
	forms [][]byte
	known string
}

// NewCookie returns a cookie and what it is known as: "a default of CouchDB".
func NewCookie(text, known string) Cookie {
	c := Cookie{forms: [][]byte{[]byte(text)}, known: known}
	if latin1, ok := inLatin1(text); ok {
		c.forms = append(c.forms, latin1)
	}
	return c
}

// Known says where the cookie is known from.
func (c Cookie) Known() string { return c.known }

// Format keeps the cookie from being printed.
func (c Cookie) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "cookie (%s)", c.known) }

// inLatin1 returns text beyond ASCII as OTP hashes an atom: one byte a character.
func inLatin1(text string) ([]byte, bool) {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) == len(text) {
		return nil, false
	}
	var out []byte
	for _, r := range text {
		if r > 0xff {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}

// proves reports whether digest is that of the cookie for a challenge: MD5 of the
// cookie and the challenge in decimal (dist_util.erl, gen_digest/2).
func (c Cookie) proves(challenge string, digest [md5.Size]byte) bool {
	var room [128]byte // for most
	return slices.ContainsFunc(c.forms, func(form []byte) bool {
		return md5.Sum(append(append(room[:0], form...), challenge...)) == digest
	})
}

// Limits of lists of cookies.
const (
	// MaxCookies bounds a list: the cookies that an organisation ever had, not
	// a dictionary.
	MaxCookies = 10_000
	// MaxCookie is the length of the longest cookie in bytes: 255 characters.
	MaxCookie = 255 * utf8.UTFMax
	// maxTries bounds the cookies tried on all handshakes together: some
	// seconds of work.
	maxTries = 50_000_000
)

// ReadCookies reads a list of cookies, one a line; lines that begin with # are
// comments. name is what the file is called in reports. No error has a part of
// the list in it.
func ReadCookies(r io.Reader, name string) ([]Cookie, error) {
	var out []Cookie
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*MaxCookie)
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		switch {
		case text == "" || text[0] == '#':
		case len(text) > MaxCookie:
			return nil, tooLong(n)
		case len(out) == MaxCookies:
			return nil, fmt.Errorf("line %d: more than %d cookies", n, MaxCookies)
		default:
			out = append(out, NewCookie(text, fmt.Sprintf("line %d of %s", n, name)))
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, tooLong(n + 1)
	case err != nil:
		return nil, err
	case len(out) == 0:
		return nil, errors.New("no cookie found")
	}
	return out, nil
}

func tooLong(line int) error {
	return fmt.Errorf("line %d is longer than any cookie", line)
}

//go:embed cookies.txt
var cookieTable []byte

// shipped are the cookies that products ship or documentation prints.
var shipped = sync.OnceValue(func() []Cookie {
	var out []Cookie
	for line := range bytes.Lines(cookieTable) {
		fields := strings.Split(string(line), "|")
		if line[0] == '#' || len(fields) != 3 {
			continue
		}
		out = append(out, NewCookie(strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1])))
	}
	return out
})

// A CookieCheck tries known cookies on handshakes. The zero value knows none.
type CookieCheck struct {
	cookies []Cookie
	// order has the indices of cookies in the order in which they are tried.
	order []int
	tried *Tried
	left  int
	// Unchecked counts the proofs that were not tried on all cookies, since the
	// limit for all together was reached.
	Unchecked int
}

// NewCookieCheck returns one that knows the given cookies, and those that
// products ship.
func NewCookieCheck(own []Cookie) *CookieCheck {
	k := &CookieCheck{cookies: slices.Concat(own, shipped()), left: maxTries}
	k.order = make([]int, len(k.cookies))
	for i := range k.order {
		k.order[i] = i
	}
	return k
}

// A Tried remembers what came of trying known cookies, for who judges the same
// handshakes again and again by the same cookies. It remembers what was asked for the
// last time, and changes nothing of what is found. The zero value has nothing; it is
// not safe for concurrent use.
type Tried struct{ before, now map[answer]int }

// An answer is what is tried: the digest for a challenge.
type answer struct {
	challenge uint32
	digest    [md5.Size]byte
}

// none stands for no cookie.
const none = -1

// turn forgets what was not asked for since it was called last.
func (t *Tried) turn() {
	if t != nil {
		t.before, t.now = t.now, make(map[answer]int, len(t.now))
	}
}

// of returns the cookie that p is known to be of, or none.
func (t *Tried) of(p answer) (cookie int, known bool) {
	if t == nil {
		return none, false
	}
	if cookie, known = t.now[p]; !known {
		cookie, known = t.before[p]
	}
	return cookie, known
}

func (t *Tried) note(p answer, cookie int) {
	if t != nil {
		t.now[p] = cookie
	}
}

// Match tells which known cookie client and server proved to each other, each nil
// if it is none of them, or was not proved. It takes the handshakes of the two
// sides of one connection, wherever they were read.
func (k *CookieCheck) Match(client, server dist.Handshake) (byClient, byServer *Cookie) {
	if client.Proved && server.Challenged {
		byClient = k.find(server.Challenge, client.Digest)
	}
	if server.Proved && client.Challenged {
		byServer = k.find(client.Challenge, server.Digest)
	}
	return byClient, byServer
}

// find tries all cookies, first the one that was found last: a cluster has one. What
// was tried before counts as much as if it was tried again.
func (k *CookieCheck) find(challenge uint32, digest [md5.Size]byte) *Cookie {
	p, decimal := answer{challenge, digest}, ""
	cookie, known := k.tried.of(p)
	if !known {
		decimal = strconv.FormatUint(uint64(challenge), 10)
	}
	for i, n := range k.order {
		if k.left == 0 {
			k.Unchecked++
			return nil
		}
		k.left--
		if known && n == cookie || !known && k.cookies[n].proves(decimal, digest) {
			copy(k.order[1:], k.order[:i])
			k.order[0] = n
			k.tried.note(p, n)
			return &k.cookies[n]
		}
	}
	k.tried.note(p, none)
	return nil
}

// cookie has the rule about known cookies, for a handshake in the clear or,
// inside, for one that was read inside TLS: there nobody else could read it, but
// whoever knows the cookie and gets a session is let in all the same.
func (r *ruler) cookie(c *decode.Connection, facts *[2]dist.Facts, inside bool) {
	sides := [2]dist.Handshake{facts[decode.Client].Handshake, facts[decode.Server].Handshake}
	byClient, byServer := r.cookies.Match(sides[decode.Client], sides[decode.Server])
	for side, found := range [2]*Cookie{byClient, byServer} {
		if found == nil {
			continue
		}
		turned := side == decode.Client && turnedAway(c, facts)
		severity, message := Critical, "the cookie is known"
		switch {
		case inside && turned:
			severity, message = Medium, "a client proved a known cookie inside TLS and was turned away"
		case inside:
			severity, message = Medium, "the cookie, proved inside TLS, is known"
		case turned:
			severity, message = High, "a client proved a known cookie and was turned away"
		}
		who := [2]string{"client", "server"}[side]
		r.add(KnownCookie, severity, c, message+": "+found.Known(),
			Evidence{sides[side].DigestAt.Frame, r.text("the %s's digest is that of this cookie and the challenge", who)})
	}
}

// turnedAway reports whether the server closed after the client's proof, without
// one of its own: it has another cookie.
func turnedAway(c *decode.Connection, facts *[2]dist.Facts) bool {
	connected := facts[decode.Client].Connected || facts[decode.Server].Connected
	return !facts[decode.Server].Handshake.Ack && !connected && c.Ending.Whole && c.Ending.ClosedBy == tls.RoleServer
}

// uncheckedCookies says what the limit left out.
func (r *ruler) uncheckedCookies() {
	if n := r.cookies.Unchecked; n > 0 {
		r.add(KnownCookie, Info, nil, fmt.Sprintf("%s not tried on all known cookies: there are too many", plural.Of(n, "proof of a cookie was", "proofs of cookies were")))
	}
}
