package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"distproof/capture"
	"distproof/capture/link"
)

// A crowd makes many connections of the one between nodes in a capture.
type crowd struct {
	steps []step
}

// A step is a packet of the connection: Ethernet, IPv4, TCP.
type step struct {
	data   []byte
	client bool // it is from the client
	after  time.Duration
	fin    bool
}

const (
	ethernet   = 14
	sourceAt   = ethernet + 12
	sourcePort = ethernet + 20
	tcpFlags   = ethernet + 20 + 13

	tcpSequence = ethernet + 20 + 4
)

// crowdOf reads a capture of which the connections to a port are between nodes.
func crowdOf(tb testing.TB, name string, port uint16) *crowd {
	tb.Helper()
	src, err := capture.Open([]string{"../pcaps/" + name + ".pcap"}, capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	c := &crowd{}
	began := int64(0)
	for {
		var p capture.Packet
		if err := src.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if len(p.Data) < tcpFlags+1 || p.Data[ethernet]>>4 != 4 {
			continue
		}
		from, to := binary.BigEndian.Uint16(p.Data[sourcePort:]), binary.BigEndian.Uint16(p.Data[sourcePort+2:])
		if from != port && to != port {
			continue
		}
		if began == 0 {
			began = p.Time
		}
		c.steps = append(c.steps, step{data: bytes.Clone(p.Data), client: to == port, after: time.Duration(p.Time - began), fin: p.Data[tcpFlags]&1 != 0})
	}
	if len(c.steps) == 0 {
		tb.Fatal("no connection to the port")
	}
	return c
}

// listenOn has the servers listen on another port.
func (c *crowd) listenOn(port uint16) {
	for _, s := range c.steps {
		at := s.data[sourcePort:]
		if s.client {
			at = at[2:]
		}
		binary.BigEndian.PutUint16(at, port)
	}
}

// open returns the crowd without the ends of connections.
func (c *crowd) open() *crowd {
	for i, s := range c.steps {
		if s.fin {
			return &crowd{c.steps[:i]}
		}
	}
	return c
}

// packet makes the packet of a step for the copy with the given number. Client
// and port tell copies apart; buf is used for it.
func (c *crowd) packet(i, number int, at time.Time, buf []byte) capture.Packet {
	return c.again(i, number, 0, at, buf)
}

// again is packet for a connection that has the addresses and ports of earlier
// ones.
func (c *crowd) again(i, number, generation int, at time.Time, buf []byte) capture.Packet {
	s := &c.steps[i]
	data := append(buf[:0], s.data...)
	address, port := data[sourceAt:], data[sourcePort:]
	if !s.client {
		address, port = data[sourceAt+4:], data[sourcePort+2:]
	}
	// 50,000 ports an address.
	copy(address, []byte{10, 100, byte(number / 50_000 >> 8), byte(number / 50_000)})
	binary.BigEndian.PutUint16(port, uint16(10_000+number%50_000))
	// Where ports are used again, sequence numbers are others.
	for _, at := range []int{tcpSequence, tcpSequence + 4} {
		if n := binary.BigEndian.Uint32(data[at:]); n != 0 {
			binary.BigEndian.PutUint32(data[at:], n+uint32(generation)*1_000_003)
		}
	}
	return capture.Packet{Data: data, Length: len(data), Time: at.UnixNano(), LinkType: 1}
}

// A quietSource is a source from which nothing comes until it is stopped.
type quietSource struct {
	stop chan struct{}
	once sync.Once
}

func newQuietSource() *quietSource { return &quietSource{stop: make(chan struct{})} }

func (s *quietSource) Next(*capture.Packet) error { <-s.stop; return io.EOF }
func (s *quietSource) Inputs() []capture.Input {
	return []capture.Input{{Path: "test", Format: "live"}}
}
func (s *quietSource) HasSecrets() bool { return false }
func (s *quietSource) Close() error     { return nil }
func (s *quietSource) Stop()            { s.once.Do(func() { close(s.stop) }) }

// play has an engine take all packets of copies, so many at a time.
func (c *crowd) play(e *Engine, from, to, width int) {
	var segment link.Segment
	var buf []byte
	at := time.Now()
	for ; from < to; from += width {
		for i := range c.steps {
			for k := from; k < min(from+width, to); k++ {
				p := c.packet(i, k, at.Add(c.steps[i].after), buf)
				buf = p.Data
				e.packet(&p, &segment)
			}
		}
	}
}

// tick has the last packet of the first copies come again.
func (c *crowd) tick(e *Engine, n int) {
	var segment link.Segment
	var buf []byte
	at := time.Now()
	for k := range n {
		p := c.packet(len(c.steps)-1, k, at, buf)
		buf = p.Data
		e.packet(&p, &segment)
	}
}

// part returns some steps of a crowd, without what was before them.
func (c *crowd) part(from, to int) *crowd {
	var out crowd
	for _, s := range c.steps[from:to] {
		s.after -= c.steps[from].after
		out.steps = append(out.steps, s)
	}
	return &out
}

// lastData returns the last steps in which the client, and the server, sent data.
func (c *crowd) lastData() (out [2]int) {
	for i, s := range c.steps {
		headers := 20 + int(s.data[ethernet+20+12]>>4)*4
		if length := int(s.data[ethernet+2])<<8 | int(s.data[ethernet+3]); length > headers {
			side := 1
			if s.client {
				side = 0
			}
			out[side] = i
		}
	}
	return out
}
