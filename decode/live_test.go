package decode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/internal/recorded"
	"distproof/report"
	"distproof/verify"
)

// recording has the segments of a capture, and its key log if there is one.
type recording struct {
	segments      []link.Segment
	encapsulation func(uint16) []string
	keys          *secrets.Log
}

func (r *recording) options() decode.Options {
	o := decode.Options{Workers: 1}
	if r.keys != nil {
		o.Secrets = func() *secrets.Log { return r.keys }
	}
	return o
}

func recordingOf(tb testing.TB, path string) *recording {
	tb.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	links := link.NewDecoder(link.Options{})
	r := &recording{encapsulation: links.Encapsulation}
	var p capture.Packet
	var s link.Segment
	for {
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if links.Decode(&p, &s) {
			s.Payload = bytes.Clone(s.Payload)
			r.segments = append(r.segments, s)
		}
	}
	if f, err := os.Open(strings.TrimSuffix(path, ".pcap") + ".keylog"); err == nil {
		defer f.Close()
		r.keys = new(secrets.Log)
		if _, err := r.keys.Read(f, secrets.Options{}); err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// documentOf renders all that verify would say.
func documentOf(tb testing.TB, c *decode.Capture) string {
	tb.Helper()
	doc := report.New(report.Tool{}, nil, nil, c, verify.Judge(c, verify.Coverage{}, verify.Options{}))
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// finished decodes segments as those of a file.
func (r *recording) finished(segments []link.Segment) *decode.Capture {
	d := decode.NewDecoder(r.options())
	for i := range segments {
		s := segments[i]
		d.Segment(&s)
	}
	return d.Finish(r.encapsulation)
}

// all hands out all changes.
func all(l *decode.Live) (out []decode.Change) {
	for l.Changed() {
		out = append(out, l.Changes(3)...)
	}
	return out
}

// What a Live decoder hands out after a part of a capture comes to just what a
// capture of this part would, and changes nothing of what is found later.
func TestLiveIsAFileSoFar(t *testing.T) {
	for _, path := range recorded.Captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := recordingOf(t, path)
			r.followed(t, r.segments, max(1, len(r.segments)/40))
			r.followed(t, disordered(r.segments), max(1, len(r.segments)/10))
		})
	}
}

// disordered returns the segments in another order, and not all of them: so that
// at most moments something is waited for.
func disordered(segments []link.Segment) []link.Segment {
	var out []link.Segment
	for i, s := range segments {
		if i%23 != 22 {
			out = append(out, s)
		}
		if n := len(out); n > 1 && i%3 != 0 {
			out[n-1], out[n-2] = out[n-2], out[n-1]
		}
	}
	return out
}

func (r *recording) followed(t *testing.T, segments []link.Segment, every int) {
	t.Helper()
	live := decode.NewLive(r.options(), r.encapsulation)
	ledger := decode.NewLedger(r.options())
	for i := range segments {
		s := segments[i]
		live.Segment(&s)
		if (i+1)%every != 0 && i+1 != len(segments) {
			continue
		}
		ledger.Take(all(live))
		got, _ := ledger.Capture(live.LeftOut())
		want := documentOf(t, r.finished(segments[:i+1]))
		if is := documentOf(t, got); is != want {
			t.Fatalf("after %d of %d segments, looked at every %d: %s", i+1, len(segments), every, recorded.Difference(is, want))
		}
		if again, _ := ledger.Capture(live.LeftOut()); documentOf(t, again) != want {
			t.Fatalf("after %d segments: another document when asked twice", i+1)
		}
	}
}

// Connections that are given up keep their facts and numbers, and what comes
// with their addresses and ports afterwards is another connection.
func TestLiveRetires(t *testing.T) {
	talk := newTalk()
	const a, b, mapper = "10.0.0.1:40000", "10.0.0.2:9100", "10.0.0.2:4369"
	talk.dials(a, b).connects("a@n1", "b@n2").closes(client)
	talk.asks(mapper, "b", 9100)
	talk.dials("10.0.0.1:40001", b).connects("a@n1", "b@n2")
	half := talk.dials("10.0.0.3:40001", b).connects("c@n3", "b@n2")
	half.segment(server, link.FIN|link.ACK, nil)
	r := recording{segments: talk.segments, encapsulation: func(uint16) []string { return nil }}

	live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
	live.Advance(1)
	for _, s := range r.segments {
		live.Segment(&s)
	}
	retire := func(o decode.Retirement) (n int) {
		for part := range decode.Parts {
			over := live.Retire(part, o)
			ledger.Take(over)
			n += len(over)
		}
		return n
	}
	live.Advance(100)
	if n := retire(decode.Retirement{}); n != 0 {
		t.Errorf("%d connections given up of which not all was handed out", n)
	}
	ledger.Take(all(live))
	for _, step := range []struct {
		name string
		r    decode.Retirement
		want int
	}{
		{"too early", decode.Retirement{Closed: 100, HalfClosed: 100, Idle: 100}, 0},
		{"closed", decode.Retirement{Closed: 99, HalfClosed: 100, Idle: 100}, 2},
		{"half closed", decode.Retirement{Closed: 99, HalfClosed: 99, Idle: 100}, 1},
		{"idle", decode.Retirement{Closed: 99, HalfClosed: 99, Idle: 99}, 1},
	} {
		if n := retire(step.r); n != step.want {
			t.Errorf("%s: %d connections given up, want %d", step.name, n, step.want)
		}
		facts, _ := ledger.Capture(live.LeftOut())
		if got, want := documentOf(t, facts), documentOf(t, r.finished(r.segments)); got != want {
			t.Errorf("%s: %s", step.name, recorded.Difference(got, want))
		}
	}
	late := half.segments[len(half.segments)-1]
	if got := live.Segment(&late); got != 5 {
		t.Errorf("a late segment is of connection %d, want 5", got)
	}
	ledger.Take(all(live))
	facts, presences := ledger.Capture(live.LeftOut())
	for i, c := range facts.Connections {
		if c.Number != uint64(i+1) || presences[i].Over != (i < 4) {
			t.Errorf("connection %d has number %d, over %t", i+1, c.Number, presences[i].Over)
		}
	}
	ledger.Forget(map[uint64]bool{2: true})
	if facts, _ = ledger.Capture(live.LeftOut()); len(facts.Connections) != 4 || facts.Connections[1].Number != 3 {
		t.Errorf("%d connections after one was forgotten", len(facts.Connections))
	}
}

// Whoever sent data, and when, is told by the clock that was set.
func TestLivePresence(t *testing.T) {
	talk := newTalk()
	d := talk.dials("10.0.0.1:40000", "10.0.0.2:9100")
	d.sends(client, []byte("first")).sends(server, []byte("second"))
	d.segment(client, link.ACK, nil)
	live, ledger := decode.NewLive(decode.Options{}, nil), decode.NewLedger(decode.Options{})
	for i, s := range talk.segments {
		live.Advance(uint32(10 + i))
		live.Segment(&s)
	}
	live.Advance(1) // clocks do not go back
	ledger.Take(all(live))
	_, presences := ledger.Capture(live.LeftOut())
	if want := (decode.Presence{Seen: 15, Data: [2]uint32{13, 14}}); len(presences) != 1 || presences[0] != want {
		t.Errorf("%+v, want %+v", presences, want)
	}
}

// Where there is no room, those connections are given up first that tell least,
// and their facts stay.
func TestLiveMakesRoom(t *testing.T) {
	talk := newTalk()
	talk.dials("10.0.0.1:40000", "10.0.0.2:9100").connects("a@n1", "b@n2")
	const others = 3000
	for i := range others {
		d := talk.dials(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(20000+i)).String(), "10.0.0.2:80")
		d.sends(client, []byte("GET / HTTP/1.1\r\n"))
	}
	o := decode.Options{MaxMemory: 64<<20 + 2*16<<10*1024} // room for 1024 connections
	live, ledger := decode.NewLive(o, nil), decode.NewLedger(o)
	for i, s := range talk.segments {
		if live.Segment(&s) == 0 {
			t.Fatalf("segment %d was left out", i)
		}
		if i%100 == 0 {
			ledger.Take(all(live))
		}
	}
	ledger.Take(all(live))
	facts, presences := ledger.Capture(live.LeftOut())
	if len(facts.Connections) != others+1 || facts.Connections[0].Protocol != decode.Dist || presences[0].Over {
		t.Fatalf("%d connections, the first %s, over %t", len(facts.Connections), facts.Connections[0].Protocol, presences[0].Over)
	}
	over := uint64(0)
	for i, c := range facts.Connections {
		if presences[i].Over {
			over++
		}
		if i > 0 && c.TCP[client].Bytes != 16 {
			t.Errorf("connection %d: %d bytes", i+1, c.TCP[client].Bytes)
		}
	}
	if over < others-1024 || live.Forgotten() != over {
		t.Errorf("%d connections given up, %d of them open", over, live.Forgotten())
	}
}

// While nobody takes what was given up, it does not grow without bound: further
// connections are left out, which is counted, and those that are known go on.
func TestLiveWaitsForRoom(t *testing.T) {
	talk := newTalk()
	d := talk.dials("10.0.0.1:40000", "10.0.0.2:9100").connects("a@n1", "b@n2")
	const others = 10_000
	for i := range others {
		x := talk.dials(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(20000+i)).String(), "10.0.0.2:80")
		x.sends(client, []byte("GET / HTTP/1.1\r\n"))
	}
	known := len(talk.segments)
	d.sends(client, []byte{0, 0, 0, 0})
	talk.dials("10.1.0.1:40000", "10.0.0.2:9100").connects("c@n1", "b@n2")
	o := decode.Options{MaxMemory: 64<<20 + 2*16<<10*1024} // room for 1024 connections, and 1024 that were given up
	live, ledger := decode.NewLive(o, nil), decode.NewLedger(o)
	for _, s := range talk.segments[:known] {
		live.Segment(&s)
	}
	if !live.Pressed() {
		t.Error("nobody is asked to take what was given up")
	}
	refused := live.LeftOut().Refused[0]
	seen, changes := live.Connections(), all(live)
	if n := uint64(len(changes)); n != seen || seen > 1024+1024+1024/16 || refused == 0 {
		t.Errorf("%d handed out of %d, and %d segments left out", n, seen, refused)
	}
	ledger.Take(changes)
	for _, s := range talk.segments[known:] {
		if live.Segment(&s) == 0 {
			t.Error("there is room again, and a segment was left out")
		}
	}
	ledger.Take(all(live))
	facts, _ := ledger.Capture(live.LeftOut())
	last := facts.Connections[len(facts.Connections)-1]
	if live.Pressed() || uint64(facts.LeftOut.Refused[0]) != refused || facts.Connections[0].Protocol != decode.Dist || last.Protocol != decode.Dist {
		t.Errorf("%s, %s; %d segments left out", facts.Connections[0].Protocol, last.Protocol, facts.LeftOut.Refused[0])
	}
}

// Of a flood of SYNs nothing is left but what is remembered, however long nobody
// takes it; those that were handed out and are forgotten are handed out as such.
func TestLiveFlood(t *testing.T) {
	const flood = 20_000
	o := decode.Options{MaxMemory: 64<<20 + 2*16<<10*1024} // room for 512 connections without data
	live, ledger := decode.NewLive(o, nil), decode.NewLedger(o)
	talk := newTalk()
	for i := range flood {
		talk.dials(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(20000+i)).String(), "10.0.0.2:80")
	}
	for _, half := range [][]link.Segment{talk.segments[:len(talk.segments)/2], talk.segments[len(talk.segments)/2:]} {
		for _, s := range half {
			live.Segment(&s)
		}
		changes := all(live)
		if n := len(changes); n > 2*512 {
			t.Errorf("%d changes are handed out", n)
		}
		ledger.Take(changes)
		if n := ledger.Len(); n == 0 || n > 512 {
			t.Errorf("%d connections are remembered", n)
		}
	}
}

// A capture may have more packets than there are numbers for. That of a packet
// names it to people, and nothing is concluded from it.
func TestFramesWithoutNumbers(t *testing.T) {
	for _, path := range recorded.Captures(t) {
		r := recordingOf(t, path)
		conclusions := func() string {
			c := r.finished(disordered(r.segments))
			b, err := json.Marshal(verify.Judge(c, verify.Coverage{}, verify.Options{}).Conclusions)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		want := conclusions()
		for i := range r.segments {
			r.segments[i].Frame.Number = math.MaxUint32
		}
		if got := conclusions(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Facts are stated, and connections given up, while further segments are taken.
func TestLiveFromTwoGoroutines(t *testing.T) {
	for _, name := range []string{"mutual_keylog_tls13", "mutual_tls12", "plain"} {
		r := recordingOf(t, "../pcaps/"+name+".pcap")
		live, ledger := decode.NewLive(r.options(), r.encapsulation), decode.NewLedger(r.options())
		var mu sync.Mutex
		done := make(chan bool)
		go func() {
			defer close(done)
			for range 5 {
				for i := range r.segments {
					s := r.segments[i]
					mu.Lock()
					live.Segment(&s)
					mu.Unlock()
				}
			}
		}()
		for part, more := 0, true; more; part = (part + 1) % decode.Parts {
			select {
			case <-done:
				more = false
			default:
			}
			mu.Lock()
			changes := live.Changes(4)
			mu.Unlock()
			ledger.Take(changes)
			mu.Lock()
			over := live.Retire(part, decode.Retirement{})
			left := live.LeftOut()
			mu.Unlock()
			ledger.Take(over)
			ledger.Capture(left)
		}
		if ledger.Len() == 0 {
			t.Errorf("%s: no connection", name)
		}
	}
}
