package watch

import (
	"os"
	"strconv"
	"testing"
	"time"

	"distproof/decode"
	"distproof/internal/allocs"
)

// Memory does not grow with the connections that were ever seen: as many as
// DISTPROOF_SOAK says are opened and closed, with addresses and ports that are
// used again and again; a few by default. What was wrong with the first is still
// known in the end.
func TestSoak(t *testing.T) {
	connections := 3_600
	if testing.Short() {
		connections = 600
	}
	if n, err := strconv.Atoi(os.Getenv("DISTPROOF_SOAK")); err == nil {
		connections = n
	}
	const (
		reused = 1_000 // ports
		second = 20    // connections in a second
	)
	plain := crowdOf(t, "plain", portOf(t, "plain"))
	kinds := []*crowd{crowdOf(t, "mutual_tls13", 42617), crowdOf(t, "mutual_tls12", portOf(t, "mutual_tls12"))}
	o := Options{Decode: decode.Options{Ports: []uint16{42617}, MaxMemory: 1 << 30}, MaxMemory: 16 << 20}
	perform(t, o, func(p *play) {
		p.sends(plain, 60_000)
		var half, end uint64
		for n := range connections {
			c := kinds[n%len(kinds)]
			for i := range c.steps {
				p.packets <- c.again(i, n%reused, n/reused, time.Now(), nil)
			}
			time.Sleep(time.Second / second)
			p.mu.Lock()
			p.events = nil
			p.mu.Unlock()
			if n == connections/2 {
				half = allocs.InUse()
			}
		}
		end = allocs.InUse()
		t.Logf("%d connections: heap of %d KiB at half of them, %d KiB in the end", connections, half>>10, end>>10)
		if end > half+half/4+4<<20 {
			t.Errorf("the heap grew from %d to %d bytes", half, end)
		}
		time.Sleep(2 * time.Minute)
		s := p.end()
		if s.Connections != uint64(connections)+1 {
			t.Errorf("%d connections, want %d", s.Connections, connections+1)
		}
		kept := uint64(len(s.Document.Connections))
		for _, f := range s.History {
			kept += f.Connections
			if f.Verdict != "mutual" {
				t.Errorf("%d connections %s", f.Connections, f.Verdict)
			}
		}
		if kept != s.Connections {
			t.Errorf("%d connections in the document and folded, want %d", kept, s.Connections)
		}
		if s.Document.Conclusion != "fail" || verdictOf(&s.Document.Connections[0]) != "cleartext" {
			t.Errorf("%s: %s", s.Document.Conclusion, s.Document.Reason)
		}
	})
}
