package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
)

// A spool is a file in which chosen packets wait.
type spool struct {
	file *os.File
	w    *bufio.Writer
	size int64
}

// spoolHeader is the length of what stands before a packet's bytes: time u64,
// input u32, frame u32, length u32, captured u32, link type u16, FCS u16.
const spoolHeader = 28

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "packets-*")
	if err != nil {
		return nil, err
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

func (s *spool) close() {
	s.file.Close()
	_ = os.Remove(s.file.Name()) // the folder goes anyway
}

// add appends a packet and returns its offset.
func (s *spool) add(p *capture.Packet) (int64, error) {
	at := s.size
	h := make([]byte, 0, spoolHeader)
	h = binary.LittleEndian.AppendUint64(h, uint64(p.Time))
	h = binary.LittleEndian.AppendUint32(h, p.Frame.Input)
	h = binary.LittleEndian.AppendUint32(h, p.Frame.Number)
	h = binary.LittleEndian.AppendUint32(h, uint32(p.Length))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(p.Data)))
	h = binary.LittleEndian.AppendUint16(h, uint16(p.LinkType))
	h = binary.LittleEndian.AppendUint16(h, uint16(p.FCSLength))
	if _, err := s.w.Write(h); err != nil {
		return 0, err
	}
	if _, err := s.w.Write(p.Data); err != nil {
		return 0, err
	}
	s.size += int64(len(h) + len(p.Data))
	return at, nil
}

// read returns the packet at an offset. All must have been added.
func (s *spool) read(at int64) (*capture.Packet, error) {
	var h [spoolHeader]byte
	if _, err := s.file.ReadAt(h[:], at); err != nil {
		return nil, err
	}
	p := &capture.Packet{
		Time:   int64(binary.LittleEndian.Uint64(h[0:])),
		Frame:  capture.Frame{Input: binary.LittleEndian.Uint32(h[8:]), Number: binary.LittleEndian.Uint32(h[12:])},
		Length: int(binary.LittleEndian.Uint32(h[16:])), Data: make([]byte, binary.LittleEndian.Uint32(h[20:])),
		LinkType: capture.LinkType(binary.LittleEndian.Uint16(h[24:])), FCSLength: h[26],
	}
	_, err := s.file.ReadAt(p.Data, at+spoolHeader)
	return p, err
}

// A pick is the choice of packets of one connection, while they are read.
type pick struct {
	cut    cut
	client netip.AddrPort
	// reached is how far client and server came, and over that both prefixes
	// were.
	reached [2]int64
	over    bool
	bytes   int
	places  []place
	// leftOut says that not all packets were taken.
	leftOut bool
}

// wants decides on a segment.
func (p *pick) wants(s *link.Segment, at decode.Place, acked int64, hasAck bool) bool {
	if p.cut.all {
		return true
	}
	side := decode.Client
	if s.Src.AddrPort() != p.client {
		side = decode.Server
	}
	from, to := at.Offset, at.Offset+int64(max(s.Length, len(s.Payload)))
	switch {
	case !p.over:
		if at.Placed {
			p.reached[side] = max(p.reached[side], to)
		}
		a, b := p.reached[0] >= p.cut.prefix[0], p.reached[1] >= p.cut.prefix[1]
		p.over = a && b || p.cut.either && (a || b)
		return true
	case !at.Placed || s.Flags.Has(link.SYN):
		return true
	case from == to:
		// An acknowledgement of what was not taken would be a gap.
		return s.Flags&(link.FIN|link.RST) == 0 && from <= p.reached[side] && hasAck && acked <= p.reached[1-side]
	case from < p.cut.prefix[side]:
		return true
	}
	for _, w := range p.cut.windows[side] {
		if from < w.to && to > w.from {
			return true
		}
	}
	return false
}

// A place says where a packet is in the spool, and which one it was of all that
// were read.
type place struct{ number, offset int64 }

// maxWaiting bounds the packets, in bytes, with fragments of which it is not
// known yet what they belong to: twice what the decoder of links keeps of them.
const maxWaiting = 32 << 20

// A gatherer reads the inputs once more and spools the packets chosen.
type gatherer struct {
	picks map[int]*pick
	spool *spool
	// number counts the packets read.
	number int64
	// waiting has packets with fragments, queue their order, oldest first, and
	// bytes their size.
	waiting map[capture.Frame]held
	queue   []capture.Frame
	bytes   int
}

type held struct {
	packet capture.Packet
	number int64
}

// gather fills the picks.
func (w *writer) gather(picks map[int]*pick, s *spool) error {
	src, err := w.o.Reopen()
	if err != nil {
		return err
	}
	g := gatherer{picks: picks, spool: s, waiting: make(map[capture.Frame]held)}
	err = capture.Guard(func() error { return w.follow(src, &g) })
	return cmp.Or(err, src.Close(), s.w.Flush())
}

// checkEvery is the number of packets after which an interrupt is looked for.
const checkEvery = 4096

func (w *writer) follow(src capture.Source, g *gatherer) error {
	links, follower := link.NewDecoder(w.o.Links), decode.NewFollower(w.c.Facts)
	var packet capture.Packet
	var segment link.Segment
	for n := 0; ; n++ {
		if n%checkEvery == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		err := src.Next(&packet)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		g.number++
		if !links.Decode(&packet, &segment) {
			if links.Waiting() {
				g.wait(&packet)
			}
			continue
		}
		at := follower.Segment(&segment)
		p := g.picks[at.Connection]
		if p == nil {
			continue
		}
		acked, hasAck := follower.Acked(at, &segment)
		if !p.wants(&segment, at, acked, hasAck) || p.bytes+len(packet.Data) > p.cut.limit {
			p.leftOut = true
			continue
		}
		if err := g.take(p, &packet, links.Parts()); err != nil {
			return err
		}
	}
}

// wait keeps a packet with a fragment.
func (g *gatherer) wait(packet *capture.Packet) {
	p := *packet
	p.Data = bytes.Clone(p.Data)
	g.waiting[p.Frame] = held{p, g.number}
	g.queue = append(g.queue, p.Frame)
	for g.bytes += len(p.Data); g.bytes > maxWaiting; g.queue = g.queue[1:] {
		g.bytes -= len(g.waiting[g.queue[0]].packet.Data)
		delete(g.waiting, g.queue[0])
	}
}

// take adds a packet to a pick, with those that had its other fragments.
func (g *gatherer) take(p *pick, packet *capture.Packet, parts []capture.Frame) error {
	for _, f := range parts {
		if h, ok := g.waiting[f]; ok {
			if err := g.add(p, &h.packet, h.number); err != nil {
				return err
			}
		}
	}
	return g.add(p, packet, g.number)
}

func (g *gatherer) add(p *pick, packet *capture.Packet, number int64) error {
	at, err := g.spool.add(packet)
	p.places = append(p.places, place{number, at})
	p.bytes += len(packet.Data)
	return err
}
