package tls

import (
	"bytes"
	gotls "crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
)

// recordings calls f for every connection in testdata/openssl that its key log
// opens.
func recordings(t *testing.T, f func(t *testing.T, r *conversation)) {
	for _, c := range opensslCases {
		for i, r := range readConversations(t, c.name) {
			t.Run(fmt.Sprintf("%s/%d", c.name, i), func(t *testing.T) { f(t, r) })
		}
	}
}

// own returns the lines of a recording's key log that are for the conversation
// itself, without comments.
func (r *conversation) own() []string {
	// The random stands behind two record and handshake headers and a version.
	random := hex.EncodeToString(r.chunks[0].data[5+4+2:][:32])
	var out []string
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, " "+random+" ") && !strings.HasPrefix(line, "EXPORTER") {
			out = append(out, line)
		}
	}
	return out
}

// flipped changes a hexadecimal digit of a field of a key log line to another one.
func flipped(line string, field int) string {
	words := strings.Fields(line)
	digits := []byte(words[field])
	i := len(digits) / 3
	if digits[i] == '0' {
		digits[i] = '1'
	} else {
		digits[i] = '0'
	}
	words[field] = string(digits)
	return strings.Join(words, " ") + "\n"
}

// TestLinesOfKeyLogs leaves out or spoils every line: if the key log does not
// open the handshake any more, the facts are those without one. What was said
// inside is never wrong, only shorter.
func TestLinesOfKeyLogs(t *testing.T) {
	chain, _ := certificateFor(t, "other")
	other := converse(t, &gotls.Config{InsecureSkipVerify: true}, &gotls.Config{Certificates: []gotls.Certificate{chain}}).log.String() //nolint:gosec // nobody is asked
	recordings(t, func(t *testing.T, r *conversation) {
		lines := r.own()
		right, said := r.opened(t, strings.Join(lines, ""), inOrder)
		if right.KeyLog != opened {
			t.Fatal(right.KeyLog)
		}
		with := func(i int, put ...string) string {
			return strings.Join(lines[:i], "") + strings.Join(put, "") + strings.Join(lines[i+1:], "")
		}
		for i, line := range lines {
			for name, text := range map[string]string{
				"without":          with(i) + other, // it must not be empty
				"another secret":   with(i, flipped(line, 2)),
				"another random":   with(i, flipped(line, 1)),
				"half a line":      with(i, line[:len(line)/2]+"\n"),
				"a conflict first": with(i, flipped(line, 2), line),
			} {
				f, got := r.opened(t, text, inOrder)
				r.checkWrong(t, fmt.Sprintf("line %d %s", i, name), f, right, got, said, !strings.Contains(line, "_TRAFFIC_SECRET_") || strings.Contains(line, "HANDSHAKE"))
			}
		}
		f, got := r.opened(t, other, inOrder)
		r.checkWrong(t, "another connection's", f, right, got, said, true)
	})
}

// checkWrong compares with the facts of the right key log, and with those of
// none. needed says that what is wrong is needed to open the handshake.
func (r *conversation) checkWrong(t *testing.T, name string, f, right *Facts, got, said [2]string, needed bool) {
	t.Helper()
	for side := range got {
		if !strings.HasPrefix(said[side], got[side]) {
			t.Errorf("%s: side %d said %q, not %q", name, side, got[side], said[side])
		}
	}
	if (f.KeyLog == opened) && needed && f.Client != nil && !right.refusedInTheClear() || f.KeyLog == "" {
		t.Errorf("%s: key log %q", name, f.KeyLog)
	}
	if f.KeyLog != opened {
		r.unchanged(t, f)
		return
	}
	without, _ := r.opened(t, "", inOrder)
	if !reflect.DeepEqual(f.ClientCertificate, right.ClientCertificate) || !reflect.DeepEqual(f.ServerCertificate, right.ServerCertificate) {
		t.Errorf("%s: %+v\nnot %+v", name, f.ClientCertificate, right.ClientCertificate)
	}
	if v := f.Established.Value; v != right.Established.Value && v != without.Established.Value {
		t.Errorf("%s: established %+v, not %+v", name, f.Established, right.Established)
	}
}

// refusedInTheClear: the client's secret is not needed where it sent nothing
// encrypted.
func (f *Facts) refusedInTheClear() bool { return f.Sealed[client] == (Sealed{}) }

// TestFormsOfKeyLogs: what does not matter in a key log does not.
func TestFormsOfKeyLogs(t *testing.T) {
	other := readConversations(t, "tls13-not-asked")[0]
	recordings(t, func(t *testing.T, r *conversation) {
		lines := r.own()
		text := strings.Join(lines, "")
		right, said := r.opened(t, text, inOrder)
		reversed := ""
		conflicts := text
		for _, line := range lines {
			reversed = line + reversed
			conflicts += flipped(line, 2)
		}
		for name, form := range map[string]string{
			"CRLF":                strings.ReplaceAll(text, "\n", "\r\n"),
			"comments":            "# first\n\n  # second\n" + strings.ReplaceAll(text, "\n", "\n# again\n"),
			"byte order mark":     "\ufeff" + text,
			"twice":               text + text,
			"conflicts behind":    conflicts,
			"backwards":           reversed,
			"capitals":            strings.ToUpper(text),
			"no end":              strings.TrimSuffix(text, "\n"),
			"between others":      strings.Join(other.own(), "") + text + "garbage\n\x00\x01\n" + strings.Repeat("A", 100<<10) + "\n",
			"labels for nobody":   "SOME_OTHER_SECRET 00 00\nRSA 0011 0022\n" + text,
			"tabs and blanks":     strings.ReplaceAll(text, " ", " \t "),
			"behind a lone line":  "CLIENT_RANDOM\n" + text,
			"behind another half": lines[0][:40] + "\n" + text,
		} {
			f, got := r.opened(t, form, inOrder)
			if !reflect.DeepEqual(f, right) || got != said {
				t.Errorf("%s: %s %+v", name, f.KeyLog, f)
			}
		}
	})
}

// TestHalfOfKeyLogs: handshake secrets show all but what was said; traffic
// secrets only that.
func TestHalfOfKeyLogs(t *testing.T) {
	recordings(t, func(t *testing.T, r *conversation) {
		if right, _ := r.opened(t, r.log.String(), inOrder); !right.Version.Is13() || right.refusedInTheClear() {
			return
		}
		right, said := r.opened(t, r.log.String(), inOrder)
		var handshake, traffic, swapped string
		for _, line := range r.own() {
			if strings.Contains(line, "HANDSHAKE") {
				handshake += line
				swapped += line
				continue
			}
			traffic += line
			if rest, ok := strings.CutPrefix(line, "CLIENT"); ok {
				swapped += "SERVER" + rest
			} else {
				swapped += "CLIENT" + strings.TrimPrefix(line, "SERVER")
			}
		}
		f, got := r.opened(t, handshake, inOrder)
		if f.KeyLog != opened || got != [2]string{} || !reflect.DeepEqual(f.ClientCertificate, right.ClientCertificate) {
			t.Errorf("handshake secrets: %s, %q, %+v", f.KeyLog, got, f.ClientCertificate)
		}
		only, _ := r.withLog(t, logOf(t, r.log.String(), secrets.Options{HandshakeOnly: true}), inOrder)
		if !reflect.DeepEqual(only, f) {
			t.Errorf("handshake only: %+v\nwith handshake secrets: %+v", only, f)
		}
		f, got = r.opened(t, traffic, inOrder)
		if got != said || f.Opened != right.Opened && right.Established.Is() {
			t.Errorf("traffic secrets: %q, %+v", got, f.Opened)
		}
		r.unchanged(t, f)
		f, got = r.opened(t, swapped, inOrder)
		if got != said || !reflect.DeepEqual(f, right) {
			t.Errorf("swapped labels: %s, %q", f.KeyLog, got)
		}
	})
}

// TestHandshakeOnlyBeforeTLS13: it says so, and changes nothing.
func TestHandshakeOnlyBeforeTLS13(t *testing.T) {
	r := readConversations(t, "tls12-ecdhe-aes256-gcm")[0]
	f, _ := r.withLog(t, logOf(t, r.log.String(), secrets.Options{HandshakeOnly: true}), inOrder)
	if f.KeyLog != "TLS 1.2 has no secrets for the handshake alone" {
		t.Errorf("key log %q", f.KeyLog)
	}
	r.unchanged(t, f)
}

// TestLateKeyLogs: secrets may come at any time, as long as what they open is
// still there.
func TestLateKeyLogs(t *testing.T) {
	recordings(t, func(t *testing.T, r *conversation) {
		text := strings.Join(r.own(), "")
		want, said := r.opened(t, text, inOrder)
		for when := range len(r.chunks) + 1 {
			log, fed := new(secrets.Log), 0
			f, got := r.withLog(t, log, func(next [2]int) int {
				if fed == when {
					r.add(t, log, text)
				}
				fed++
				return inOrder(next)
			})
			if !reflect.DeepEqual(f, want) || got != said {
				t.Errorf("after %d chunks: %+v %q", when, f, got)
			}
		}
	})
}

func (r *conversation) add(t *testing.T, log *secrets.Log, text string) {
	t.Helper()
	if _, err := log.Read(strings.NewReader(text), secrets.Options{}); err != nil {
		t.Fatal(err)
	}
}

// TestTooLateKeyLogs: what has been kept is opened, and it is said why no more is.
func TestTooLateKeyLogs(t *testing.T) {
	chain, _ := certificateFor(t, "late")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	block := bytes.Repeat([]byte("data"), 4<<10)
	for i := range 8 {
		g.traffic(server, uint64(i), TypeApplicationData, block[:16<<10-100])
		g.traffic(client, uint64(i), TypeApplicationData, "ok")
	}
	log, fed := new(secrets.Log), 0
	f, said := g.r.withLog(t, log, func(next [2]int) int {
		if fed++; fed == len(g.r.chunks) {
			g.r.add(t, log, forgedLog())
		}
		return inOrder(next)
	})
	if f.KeyLog != opened || f.ClientCertificate.Possession != fact.Verified || said[client] != strings.Repeat("ok", 8) {
		t.Errorf("%s, client %q", f.KeyLog, said[client])
	}
	if n := len(said[server]); n == 0 || n > maxHeld || f.Opened[server].Stopped != "more than 64 KiB came before there were secrets" {
		t.Errorf("%d bytes, stopped: %s", n, f.Opened[server].Stopped)
	}
	in, _ := g.r.opened(t, forgedLog(), inOrder)
	if n := in.Opened[server]; n.Bytes != 8*(16<<10-100) || n.Stopped != "" {
		t.Errorf("in time: %+v", n)
	}
}

// TestHalfOfKeyLogsInBulk: what the lines that are there open is opened, although
// the others never come.
func TestHalfOfKeyLogsInBulk(t *testing.T) {
	chain, _ := certificateFor(t, "half")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	const blocks, size = 20, 8 << 10
	for i := range blocks {
		g.traffic(server, uint64(i), TypeApplicationData, make([]byte, size))
	}
	lines := strings.SplitAfter(forgedLog(), "\n")
	f, _ := g.r.opened(t, strings.Join(lines[2:], ""), inOrder)
	if f.Opened[server] != (Opened{blocks * size, ""}) {
		t.Errorf("traffic secrets: %+v", f.Opened[server])
	}
	f, _ = g.r.opened(t, strings.Join(lines[:2], ""), inOrder)
	if f.KeyLog != opened || f.Opened[server].Stopped != "no traffic secret in the key log" {
		t.Errorf("handshake secrets: %s, %+v", f.KeyLog, f.Opened[server])
	}
}

// TestNoSecretsHoldNothing: what is kept without secrets is bounded, and given
// up behind the bound.
func TestNoSecretsHoldNothing(t *testing.T) {
	chain, _ := certificateFor(t, "nobody")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	streams := [2]*Stream{NewStream(AtStart), NewStream(AtStart)}
	log := logOf(t, strings.Join(readConversations(t, "tls13-ccm")[0].own(), ""), secrets.Options{})
	for _, s := range streams {
		s.Retain(log, func(tcp.Position, []byte) { t.Error("data without secrets") })
	}
	for i := range 20 {
		for side := range streams {
			g.traffic(side, uint64(i), TypeApplicationData, make([]byte, 16<<10-100))
		}
	}
	hopeless := false
	for _, c := range g.r.chunks {
		streams[c.side].Data(c.at, c.data)
		hopeless = Unlock(streams[client], streams[server])
		for side, s := range streams {
			n := cap(s.holding)
			if s.held != nil {
				n += cap(s.held.bodies) + cap(s.held.records.packed)
			}
			if n > 2*(maxHeld+maxRecord) || s.unheld != "" && cap(s.holding) > 0 {
				t.Fatalf("side %d holds %d bytes", side, n)
			}
		}
	}
	if !hopeless {
		t.Error("it is still tried")
	}
}

// TestQueue: of many streams that wait for secrets, those that began first are
// given up, and say so; those behind them are opened.
func TestQueue(t *testing.T) {
	chain, _ := certificateFor(t, "queue")
	g := newForger(t, chain, helloServer)
	g.flight(server, asking...)
	g.flight(client, answering...)
	held := 0
	for _, c := range g.r.chunks[2:] {
		held += len(c.data)
	}
	log, queue := new(secrets.Log), NewQueue(3*held+500) // records take more than their bytes
	var all [][2]*Stream
	for range 5 {
		streams := [2]*Stream{NewStream(AtStart), NewStream(AtStart)}
		for _, s := range streams {
			s.Retain(log, nil)
			s.Bound(queue)
		}
		for _, c := range g.r.chunks {
			streams[c.side].Data(c.at, c.data)
			Unlock(streams[client], streams[server])
		}
		all = append(all, streams)
		if queue.bytes > queue.limit || len(queue.waiting) > 8 {
			t.Errorf("%d bytes of %d streams wait", queue.bytes, len(queue.waiting))
		}
	}
	g.r.add(t, log, forgedLog())
	Unlock(all[3][client], all[3][server])
	for i, want := range []string{
		"server's handshake: too many connections wait for secrets", "server's handshake: too many connections wait for secrets",
		opened, opened, opened,
	} {
		if f := Combine(all[i][client], all[i][server], Ending{}); f.KeyLog != want {
			t.Errorf("stream %d: %s, want %s", i, f.KeyLog, want)
		}
	}
	if queue.bytes < 0 || queue.bytes >= 2*held+500 {
		t.Errorf("%d bytes still wait", queue.bytes)
	}
}

// TestGrowingKeyLogs: lines come one by one, and nothing is opened by half
// because some are still to come.
func TestGrowingKeyLogs(t *testing.T) {
	recordings(t, func(t *testing.T, r *conversation) {
		lines := r.own()
		want, said := r.opened(t, strings.Join(lines, ""), inOrder)
		for first := range len(r.chunks) {
			log, fed, line := new(secrets.Log), 0, 0
			f, got := r.withLog(t, log, func(next [2]int) int {
				for ; fed >= first && line < len(lines) && line <= fed-first; line++ {
					r.add(t, log, lines[line])
				}
				fed++
				return inOrder(next)
			})
			if line == len(lines) && (!reflect.DeepEqual(f, want) || got != said) {
				t.Errorf("from chunk %d on: %s %+v %q", first, f.KeyLog, f.Opened, got)
			}
		}
	})
}

// TestFlippedBits flips bits anywhere in a conversation: the facts are the right
// ones, or those without a key log. What a Finished covers is never taken for
// verified if it is not what was sent.
func TestFlippedBits(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	recordings(t, func(t *testing.T, r *conversation) {
		log := logOf(t, r.log.String(), secrets.Options{})
		right, said := r.withLog(t, log, inOrder)
		// Behind these, nothing is handshake.
		most := min(len(r.chunks), 6)
		for i := range most {
			data := r.chunks[i].data
			for range 60 {
				at, bit := random.IntN(len(data)), byte(1)<<random.IntN(8)
				r.chunks[i].data = bytes.Clone(data)
				r.chunks[i].data[at] ^= bit
				f, got := r.withLog(t, log, inOrder)
				name := fmt.Sprintf("chunk %d, byte %d, bit %#x", i, at, bit)
				if f.KeyLog == opened {
					r.checkFlipped(t, name, f, right)
				} else {
					r.checkUnopened(t, name, f)
				}
				for side := range got {
					if !strings.HasPrefix(said[side], got[side]) {
						t.Errorf("%s: side %d said %q", name, side, got[side])
					}
				}
			}
			r.chunks[i].data = data
		}
	})
}

func (r *conversation) checkFlipped(t *testing.T, name string, f, right *Facts) {
	t.Helper()
	c, w := f.ClientCertificate, right.ClientCertificate
	if c.Status == StatusUnknown || f.ServerCertificate.Basis == fact.None && right.ServerCertificate.Basis != fact.None {
		return // it may have come to nothing
	}
	got, want := f.ServerCertificate, right.ServerCertificate
	if got.Signature.Value == fact.Unknown && f.Established.Value == fact.Unknown {
		want.Possession = got.Possession // static RSA needs the server's Finished
	}
	if !reflect.DeepEqual(c, w) || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v\nnot %+v\nserver %+v\nnot %+v", name, c, w, f.ServerCertificate, right.ServerCertificate)
	}
}

// checkUnopened: without a key log the same is claimed, unless a Finished that
// was opened is wrong.
func (r *conversation) checkUnopened(t *testing.T, name string, f *Facts) {
	t.Helper()
	if strings.HasSuffix(f.KeyLog, secrets.ErrFinished.Error()) && f.Established.Value == fact.Unknown {
		return
	}
	without, _ := r.withLog(t, nil, inOrder)
	got := *f
	got.KeyLog, got.Opened, got.Client, got.Server = "", [2]Opened{}, got.Client.intern(NewTables()), got.Server.intern(NewTables())
	if !reflect.DeepEqual(&got, without) {
		t.Errorf("%s: with the key log (%s)\n%+v\nwithout\n%+v", name, f.KeyLog, got, *without)
	}
}

// TestGapsInWhatIsSealed leaves out every chunk, and single bytes: never more is
// claimed than without a gap, and what was said is cut short at the gap.
func TestGapsInWhatIsSealed(t *testing.T) {
	recordings(t, func(t *testing.T, r *conversation) {
		log := logOf(t, r.log.String(), secrets.Options{})
		right, said := r.withLog(t, log, inOrder)
		for i := range r.chunks {
			n := len(r.chunks[i].data)
			for _, missing := range [][2]int{{0, n}, {0, 1}, {n / 2, 1}, {n - 1, 1}, {0, min(n, 5)}} {
				f, got := r.withGap(t, log, i, missing[0], missing[1])
				name := fmt.Sprintf("%d bytes at %d of chunk %d", missing[1], missing[0], i)
				for side := range got {
					if !strings.HasPrefix(said[side], got[side]) {
						t.Errorf("%s: side %d said %q", name, side, got[side])
					}
				}
				if f.KeyLog == opened {
					r.checkFlipped(t, name, f, right)
				}
				if s := r.chunks[i].side; got[s] != said[s] && f.Client != nil && f.Server != nil && f.Opened[s].Stopped == "" {
					t.Errorf("%s: %q of %q, and nothing says so", name, got[s], said[s])
				}
				if f.Opened[client].Stopped == secrets.ErrTag.Error() || f.Opened[server].Stopped == secrets.ErrTag.Error() {
					t.Errorf("%s: the secrets are blamed", name)
				}
			}
		}
	})
}

// withGap plays a conversation of which some bytes of a chunk are missing.
func (r *conversation) withGap(t *testing.T, log *secrets.Log, i, from, n int) (*Facts, [2]string) {
	t.Helper()
	var streams [2]*Stream
	var said [2]string
	for side := range streams {
		streams[side] = NewStream(AtStart)
		streams[side].Retain(log, func(_ tcp.Position, b []byte) { said[side] += string(b) })
	}
	for j, c := range r.chunks {
		s := streams[c.side]
		if j != i {
			s.Data(c.at, c.data)
			Unlock(streams[client], streams[server])
			continue
		}
		at := c.at
		s.Data(at, c.data[:from])
		at.Offset += int64(from)
		s.Gap(at, int64(n))
		at.Offset += int64(n)
		s.Data(at, c.data[from+n:])
		Unlock(streams[client], streams[server])
	}
	for _, s := range streams {
		s.End()
	}
	return Combine(streams[client], streams[server], Ending{ClosedBy: RoleServer}), said
}

// FuzzOpening opens any records with any key log: no more is claimed than
// without one, unless it opens the handshake, and little is held.
func FuzzOpening(f *testing.F) {
	for _, c := range opensslCases {
		for _, r := range readConversations(f, c.name) {
			var sides [2][]byte
			for _, c := range r.chunks {
				sides[c.side] = append(sides[c.side], c.data...)
			}
			f.Add(strings.Join(r.own(), ""), sides[client], sides[server], uint16(0), uint16(0), byte(0))
			f.Add(strings.Join(r.own(), ""), sides[client], sides[server], uint16(700), uint16(3), byte(1))
		}
	}
	f.Fuzz(func(t *testing.T, text string, c, s []byte, at, cut uint16, change byte) {
		log := new(secrets.Log)
		if _, err := log.Read(strings.NewReader(text), secrets.Options{HandshakeOnly: change == 255}); err != nil {
			t.Fatal(err)
		}
		// By turns, in pieces, with a byte changed.
		r := new(conversation)
		for rest, side := [2][]byte{client: c, server: s}, client; len(rest[0])+len(rest[1]) > 0; side = 1 - side {
			n := min(int(cut)+200, len(rest[side]))
			piece := bytes.Clone(rest[side][:n])
			if i := int64(at) - r.sent[side]; i >= 0 && i < int64(n) {
				piece[i] ^= change
			}
			r.chunks = append(r.chunks, chunk{side, tcp.Position{Offset: r.sent[side], Acked: r.sent[1-side]}, piece})
			r.sent[side] += int64(n)
			rest[side] = rest[side][n:]
		}
		facts, said := r.withLog(t, log, inOrder)
		if facts.KeyLog != opened {
			r.checkUnopened(t, "", facts)
		}
		if len(said[client]) > len(c) || len(said[server]) > len(s) {
			t.Error("more was said than was sent")
		}
	})
}

// TestLongKeyLogs: the lines that matter are found among many others.
func TestLongKeyLogs(t *testing.T) {
	r := readConversations(t, "tls13-key-updates")[0]
	lines := r.own()
	want, said := r.opened(t, strings.Join(lines, ""), inOrder)
	var text strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&text, "CLIENT_HANDSHAKE_TRAFFIC_SECRET %064x %064x\n", i, i)
		if i%4000 == 3999 && len(lines) > 0 {
			text.WriteString(lines[0])
			lines = lines[1:]
		}
	}
	if len(lines) > 0 {
		t.Fatalf("%d lines are not in it", len(lines))
	}
	f, got := r.opened(t, text.String(), inOrder)
	if !reflect.DeepEqual(f, want) || got != said {
		t.Errorf("%s: %q", f.KeyLog, got)
	}
}
