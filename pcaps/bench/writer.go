//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
)

// A flow is one copy of a conversation.
type flow struct {
	client, server         [4]byte
	clientPort, serverPort uint16
	isn                    [2]uint32
	begin                  int64 // nanoseconds since 1970
	tunnel                 bool
}

// A writer writes packets as a pcap file with microseconds.
type writer struct {
	out     *bufio.Writer
	err     error
	packets uint64
	frame   [256]byte
}

const (
	recordLength = 16
	udpLength    = 8
	vxlanLength  = 8
	vxlanPort    = 8472 // of the Linux kernel, as in the real capture
	tunnelLength = etherLength + ipLength + udpLength + vxlanLength
)

// newWriter returns a writer that has written the file's header.
func newWriter(out io.Writer) *writer {
	w := &writer{out: bufio.NewWriterSize(out, 1<<20)}
	w.header()
	return w
}

func (w *writer) close() error { return errors.Join(w.err, w.out.Flush()) }

func (w *writer) header() {
	h := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = binary.LittleEndian.AppendUint64(h, 0)
	h = binary.LittleEndian.AppendUint32(h, 256<<10)
	h = binary.LittleEndian.AppendUint32(h, 1) // Ethernet
	_, w.err = w.out.Write(h)
}

// packet writes a step of a flow, after nanoseconds since the flow began; seq
// and acked come on top of those of the step.
func (w *writer) packet(f *flow, s *step, after int64, seq, acked uint32) {
	if w.err != nil {
		return
	}
	w.packets++
	inner := etherLength + ipLength + tcpLength + len(s.options) + len(s.payload)
	size, h := inner, w.frame[:recordLength]
	if f.tunnel {
		size += tunnelLength
	}
	at := f.begin + after
	binary.LittleEndian.PutUint32(h, uint32(at/1e9))
	binary.LittleEndian.PutUint32(h[4:], uint32(at%1e9/1000))
	binary.LittleEndian.PutUint32(h[8:], uint32(size))
	binary.LittleEndian.PutUint32(h[12:], uint32(size))
	n := recordLength
	if f.tunnel {
		n += w.outer(w.frame[n:n+tunnelLength], f, s, inner)
	}
	n += w.segment(w.frame[n:], f, s, after, seq, acked)
	_, _ = w.out.Write(w.frame[:n])
	_, w.err = w.out.Write(s.payload)
}

// outer writes the headers of a VXLAN packet around an Ethernet frame.
func (w *writer) outer(h []byte, f *flow, s *step, inner int) int {
	src, dst := [4]byte{192, 168, 0, f.client[3]}, [4]byte{192, 168, 1, f.server[3]}
	if s.server {
		src, dst = dst, src
	}
	w.ethernet(h, 17, src, dst, udpLength+vxlanLength+inner)
	udp := h[etherLength+ipLength:]
	binary.BigEndian.PutUint16(udp, 49152+f.clientPort%1024)
	binary.BigEndian.PutUint16(udp[2:], vxlanPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLength+vxlanLength+inner))
	binary.BigEndian.PutUint16(udp[6:], 0)          // no checksum (RFC 768)
	binary.BigEndian.PutUint64(udp[8:], 8<<56|1<<8) // network 1 (RFC 7348, Section 5)
	return tunnelLength
}

// ethernet writes the headers down to IPv4, in front of size bytes.
func (w *writer) ethernet(h []byte, proto byte, src, dst [4]byte, size int) {
	copy(h, []byte{2, 0, dst[0], dst[1], dst[2], dst[3], 2, 0, src[0], src[1], src[2], src[3], 8, 0})
	ip := h[etherLength : etherLength+ipLength]
	ip[0], ip[1] = 0x45, 0
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLength+size))
	binary.BigEndian.PutUint16(ip[4:], uint16(w.packets))
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // not to be fragmented
	ip[8], ip[9] = 64, proto
	binary.BigEndian.PutUint16(ip[10:], 0)
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip)))
}

// segment writes the headers of an Ethernet frame with a TCP segment.
func (w *writer) segment(h []byte, f *flow, s *step, after int64, seq, acked uint32) int {
	src, dst, srcPort, dstPort, own, peer := f.client, f.server, f.clientPort, f.serverPort, f.isn[0], f.isn[1]
	if s.server {
		src, dst, srcPort, dstPort, own, peer = dst, src, dstPort, srcPort, peer, own
	}
	size := tcpLength + len(s.options)
	w.ethernet(h, 6, src, dst, size+len(s.payload))
	tcp := h[etherLength+ipLength:][:size]
	binary.BigEndian.PutUint16(tcp, srcPort)
	binary.BigEndian.PutUint16(tcp[2:], dstPort)
	binary.BigEndian.PutUint32(tcp[4:], own+s.seq+seq)
	number := uint32(0)
	if s.flags&ack != 0 {
		number = peer + s.ack + acked
	}
	binary.BigEndian.PutUint32(tcp[8:], number)
	tcp[12], tcp[13] = byte(size/4)<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], 501)
	binary.BigEndian.PutUint32(tcp[16:], 0)
	copy(tcp[tcpLength:], s.options)
	if s.stamp >= 0 {
		binary.BigEndian.PutUint32(tcp[tcpLength+s.stamp:], own+uint32(after/1e6))
	}
	total := sum(tcp) + s.sum + sum(src[:]) + sum(dst[:]) + 6 + uint64(size+len(s.payload))
	binary.BigEndian.PutUint16(tcp[16:], ^fold(total))
	return etherLength + ipLength + size
}

// sum adds up 16-bit words (RFC 1071), four at a time: only the sum modulo
// 0xffff matters.
func sum(b []byte) uint64 {
	total := uint64(0)
	for ; len(b) >= 8; b = b[8:] {
		t, carry := bits.Add64(total, binary.BigEndian.Uint64(b), 0)
		total = t + carry
	}
	for total = uint64(fold(total)); len(b) >= 2; b = b[2:] {
		total += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		total += uint64(b[0]) << 8
	}
	return uint64(fold(total))
}

func fold(total uint64) uint16 {
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
