package tcp_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"distproof/decode/tcp"
	"distproof/internal/reuse"
)

// TestMain has all tests find what is used after it was given back.
func TestMain(m *testing.M) {
	reuse.Spoil(true)
	os.Exit(m.Run())
}

// A talker is a connection of which one side sends pieces, and what it sent.
type talker struct {
	*tcp.Conn
	data []byte
	cuts []int // where the pieces begin
}

func (s *talker) send(from int, b []byte, now int) {
	g := seg(0, int64(from), 0, string(b)).segment(uint32(now))
	g.Time = int64(now) * int64(time.Second)
	s.Segment(0, g, new(log))
}

func (s *talker) odd() tcp.Rare {
	stats := s.Stats(0)
	return *stats.Odd()
}

// again sends one of the pieces once more, with another byte if it is to be found out.
func (s *talker) again(t *testing.T, random *rand.Rand, other bool, now int) {
	t.Helper()
	if len(s.cuts) == 0 {
		return
	}
	i := random.IntN(len(s.cuts))
	from, to := s.cuts[i], append(s.cuts, len(s.data))[i+1]
	piece, before := bytes.Clone(s.data[from:to]), s.odd().Conflicts
	if other {
		piece[0]++
	}
	s.send(from, piece, now)
	if after := s.odd(); after.Conflicts > before != other {
		t.Fatalf("bytes from %d to %d of %d, other ones %t: conflicts %d, then %d, at %d", from, to, len(s.data), other, before, after.Conflicts, after.ConflictOffset)
	}
}

// TestHeadsApart: connections use the memory of one another's beginnings, one after
// another. Each has its own bytes to compare with, whatever became of others and of
// its clones.
func TestHeadsApart(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const conns, rounds, most = 40, 10000, 16 << 10
	budget := tcp.NewBudget(0)
	var all [conns]*talker
	condensed := 0
	for now := range rounds {
		s := &all[random.IntN(conns)]
		if *s == nil || len((*s).data) >= most || random.IntN(60) == 0 {
			if *s != nil {
				(*s).Forget()
			}
			*s = &talker{Conn: tcp.New(tcp.Limits{Head: most}, budget)}
			run((*s).Conn, syn, synAck, ack, seg(1, 0, 0, "x"))
		}
		switch random.IntN(8) {
		case 0:
			clone := talker{Conn: (*s).Clone()}
			clone.send(len((*s).data), []byte("of the clone"), now)
			clone.Flush(new(log))
		case 1:
			(*s).Segment(1, acks(1, 1, int64(len((*s).data))).segment(uint32(now)), new(log))
			(*s).Segment(0, seg(0, int64(len((*s).data)), 1, "").segment(uint32(now)), new(log))
			if (*s).Condense(int64(now+2) * int64(time.Second)) {
				condensed++
			}
		default:
			piece := make([]byte, 2+random.IntN(1400))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			(*s).send(len((*s).data), piece, now)
			(*s).cuts, (*s).data = append((*s).cuts, len((*s).data)), append((*s).data, piece...)
		}
		(*s).again(t, random, random.IntN(4) == 0, now)
	}
	for _, s := range all {
		s.Forget()
	}
	if budget.Used() != 0 || condensed < rounds/20 {
		t.Errorf("%d bytes of the budget are not given back; condensed %d times", budget.Used(), condensed)
	}
}
