package live

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"distproof/capture"
)

// A feeder sends numbered datagrams from one namespace to another.
type feeder struct {
	t    *testing.T
	from *space
	sent uint64
}

const (
	feedSize = 40_000
	// feedAt is where the number is: behind Ethernet, IPv4 and UDP.
	feedAt = 14 + 20 + 8
)

func (f *feeder) send(n int) {
	f.t.Helper()
	f.from.in(func() error {
		c, err := net.Dial("udp", fmt.Sprintf("10.9.0.1:%d", extraPort))
		if err != nil {
			return err
		}
		defer c.Close()
		for range n {
			f.sent++
			// Nobody listens: an error says so of the datagram before.
			b := bytes.Repeat([]byte{byte(f.sent)}, feedSize)
			binary.BigEndian.PutUint64(b, f.sent)
			if _, err := c.Write(b); err != nil {
				if _, err := c.Write(b); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// number is that of a packet that was sent, 0 of another or a part of one. It fails
// if that has changed.
func number(t *testing.T, data []byte) uint64 {
	t.Helper()
	if len(data) < feedAt+feedSize {
		return 0
	}
	n := binary.BigEndian.Uint64(data[feedAt:])
	for _, b := range data[feedAt+8 : feedAt+feedSize] {
		if b != byte(n) {
			t.Fatalf("packet %d has other bytes than were sent", n)
		}
	}
	return n
}

// What is lent stays as it is, however much comes; no more than a part of the ring
// is lent, nothing is read twice, and when it is given back all goes on.
func TestLend(t *testing.T) {
	const blocks = 16
	a, b := pair(t)
	b.ip("link set right mtu 60000")
	a.ip("link set left mtu 60000")
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, Buffer: blocks * blockSize, VXLANPorts: []uint16{extraPort}})
	f := &feeder{t: t, from: b}
	var lease capture.Lease
	lent := make(map[uint64][]byte)
	latest, refused := uint64(0), 0
	take := func() {
		t.Helper()
		var p capture.Packet
		if err := s.Next(&p); err != nil {
			t.Fatal(err)
		}
		n := number(t, p.Data)
		switch {
		case n == 0:
			return
		case n < latest:
			t.Fatalf("packet %d after %d", n, latest)
		case s.Lend(&lease):
			lent[n] = p.Data
		default:
			refused++
		}
		latest = n
	}
	for s.Statistics().Dropped == 0 {
		f.send(10)
		for latest < f.sent && s.Statistics().Dropped == 0 {
			take()
		}
	}
	for s.ring.ready() { // until it is the turn of what is lent
		take()
	}
	if n := s.ring.out.Load(); refused == 0 || len(lent) == 0 || n > blocks/lendable+1 {
		t.Errorf("%d packets were lent, in %d blocks, and %d not", len(lent), n, refused)
	}
	for n, data := range lent {
		if is := number(t, data); is != n {
			t.Errorf("packet %d is %d by now", n, is)
		}
	}
	lease.End()
	for latest < f.sent {
		f.send(1)
		take()
	}
	if n := s.ring.out.Load(); n > 3 {
		t.Errorf("%d blocks are lent, of which two at most were since", n)
	}
}
