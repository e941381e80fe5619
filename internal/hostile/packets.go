// Package hostile makes the malformed and hostile captures of testdata/, field
// by field. Numbers are little-endian in files, and big-endian in packets.
package hostile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"slices"
)

// Port is that of the nodes' listener.
const Port = 9100

const (
	clientPort, epmdPort = 40000, 4369

	clientISN, serverISN = 1000, 5000

	fin, syn, psh, ack = 0x01, 0x02, 0x08, 0x10 // flags of TCP
)

func le16(v int) []byte               { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func le32[T int | uint32](v T) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func be24(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v))[1:] }
func be32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

// pcapFile is a pcap file of Ethernet, the packets a second apart.
func pcapFile(snaplen int, packets ...[]byte) []byte {
	out := slices.Concat(
		[]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0}, // little-endian, version 2.4
		make([]byte, 8),        // time zone, accuracy
		le32(snaplen), le32(1), // Ethernet
	)
	for i, p := range packets {
		out = append(out, pcapRecord(i, uint32(len(p)), p)...)
	}
	return out
}

// pcapRecord is a record that claims so many captured bytes.
func pcapRecord(second int, captured uint32, data []byte) []byte {
	return slices.Concat(le32(1763611200+second), le32(0), le32(captured), le32(len(data)), data)
}

// block is a pcapng block.
func block(kind int, body ...[]byte) []byte {
	b := slices.Concat(body...)
	b = append(b, make([]byte, -len(b)&3)...)
	return slices.Concat(le32(kind), le32(len(b)+12), b, le32(len(b)+12))
}

// pcapngFile is a pcapng file with one section.
func pcapngFile(blocks ...[]byte) []byte {
	section := block(0x0a0d0d0a, le32(0x1a2b3c4d), le16(1), le16(0), bytes.Repeat([]byte{0xff}, 8))
	return slices.Concat(section, slices.Concat(blocks...))
}

// ngInterface describes an interface. Its options begin with their code and length.
func ngInterface(linkType int, options ...[]byte) []byte {
	return block(1, le16(linkType), le16(0), le32(0), slices.Concat(options...))
}

// ngPacket is an Enhanced Packet Block with a time in microseconds.
func ngPacket(number, second int, p []byte) []byte {
	ticks := int64(1763611200+second) * 1e6
	return block(6, le32(number), le32(uint32(ticks>>32)), le32(uint32(ticks)), le32(len(p)), le32(len(p)), p)
}

// ethernet puts an IPv4 packet into a frame.
func ethernet(packet []byte) []byte {
	return slices.Concat([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00}, packet)
}

// ipv4 makes an IPv4 packet from 10.0.0.1 to 10.0.0.2, or back. fragment is
// the field of flags and offset.
func ipv4(toClient bool, protocol byte, id, fragment int, payload []byte) []byte {
	from, to := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	if toClient {
		from, to = to, from
	}
	h := slices.Concat([]byte{0x45, 0}, be16(20+len(payload)), be16(id), be16(fragment), []byte{64, protocol, 0, 0}, from, to)
	copy(h[10:], be16(checksum(h)))
	return append(h, payload...)
}

// checksum is the one of RFC 1071.
func checksum(b []byte) int {
	sum := 0
	for i := 0; i < len(b); i += 2 {
		sum += int(b[i])<<8 | int(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^sum & 0xffff
}

// A talk is a TCP connection, packet by packet. TCP checksums are left to the
// network card, as captures have it.
type talk struct {
	server  int // port
	seq     [2]int
	packets [][]byte // IPv4
}

// newTalk opens a connection.
func newTalk(server int) *talk {
	t := &talk{server: server, seq: [2]int{clientISN, serverISN}}
	t.send(0, syn, nil)
	t.send(1, syn|ack, nil)
	t.send(0, ack, nil)
	return t
}

// send sends a segment; side 0 is the client's.
func (t *talk) send(side int, flags byte, data []byte) {
	from, to := clientPort, t.server
	if side == 1 {
		from, to = to, from
	}
	acked := t.seq[1-side]
	if flags&ack == 0 {
		acked = 0
	}
	segment := slices.Concat(be16(from), be16(to), be32(t.seq[side]), be32(acked), []byte{0x50, flags}, be16(64000), be16(0), be16(0), data)
	t.packets = append(t.packets, ipv4(side == 1, 6, len(t.packets)+1, 0, segment))
	t.seq[side] += len(data)
	if flags&(syn|fin) != 0 {
		t.seq[side]++
	}
}

// say sends data in segments of at most 1000 bytes.
func (t *talk) say(side int, data []byte) *talk {
	for part := range slices.Chunk(data, 1000) {
		t.send(side, psh|ack, part)
	}
	return t
}

// close ends the connection, the client first.
func (t *talk) close() *talk {
	t.send(0, fin|ack, nil)
	t.send(1, fin|ack, nil)
	t.send(0, ack, nil)
	return t
}

// frames returns the packets in Ethernet.
func (t *talk) frames() [][]byte {
	var out [][]byte
	for _, p := range t.packets {
		out = append(out, ethernet(p))
	}
	return out
}

func (t *talk) pcap() []byte { return pcapFile(262144, t.frames()...) }

// tlsRecord is a TLS record whose header may lie about its length.
func tlsRecord(kind byte, length int, body []byte) []byte {
	return slices.Concat([]byte{kind, 3, 3}, be16(length), body)
}

func handshake(kind byte, length int, body []byte) []byte {
	return slices.Concat([]byte{kind}, be24(length), body)
}

// clientHello is one of TLS 1.2, in its record, whose only cipher suite claims
// to be a list of so many bytes.
func clientHello(suitesLength int, serverName string) []byte {
	body := slices.Concat([]byte{3, 3}, bytes.Repeat([]byte{'c'}, 32), []byte{0}, // version, random, no session id
		be16(suitesLength), be16(0xc02b), []byte{1, 0}) // one suite, no compression
	if serverName != "" {
		list := slices.Concat([]byte{0}, be16(len(serverName)), []byte(serverName))
		extension := slices.Concat(be16(0), be16(len(list)+2), be16(len(list)), list)
		body = slices.Concat(body, be16(len(extension)), extension)
	}
	message := handshake(1, len(body), body)
	return tlsRecord(22, len(message), message)
}

func serverHello() []byte {
	body := slices.Concat([]byte{3, 3}, bytes.Repeat([]byte{'s'}, 32), []byte{0}, be16(0xc02b), []byte{0})
	message := handshake(2, len(body), body)
	return tlsRecord(22, len(message), message)
}

// distMessage is a message of the distribution handshake.
func distMessage(body ...[]byte) []byte {
	b := slices.Concat(body...)
	return append(be16(len(b)), b...)
}

// What the distribution handshake of an OTP 25 node consists of.
func flags() []byte             { return slices.Concat(be32(0xd), be32(0x07df7fbd)) }
func creation() []byte          { return be32(1) }
func challenge() []byte         { return be32(0x01020304) }
func digest() []byte            { return bytes.Repeat([]byte{0xdd}, 16) }
func nameOf(name string) []byte { return append(be16(len(name)), name...) }

// linkMessage is one that links two processes, as pass-through: 'p', the term
// {1, From, To}.
func linkMessage() []byte {
	pid := slices.Concat([]byte{88, 119, 3}, []byte("a@h"), be32(42), be32(0), be32(1))
	return slices.Concat([]byte{'p', 131, 104, 3, 97, 1}, pid, pid)
}

// framed has a length of four bytes before it, as all is after the handshake.
func framed(b []byte) []byte { return append(be32(len(b)), b...) }

// cleartext is a connection of two nodes in the clear, with two messages and a
// tick from each.
func cleartext(client, server string) *talk {
	t := newTalk(Port)
	t.say(0, distMessage([]byte{'N'}, flags(), creation(), nameOf(client)))
	t.say(1, distMessage([]byte("sok")))
	t.say(1, distMessage([]byte{'N'}, flags(), challenge(), creation(), nameOf(server)))
	t.say(0, distMessage([]byte{'r'}, challenge(), digest()))
	t.say(1, distMessage([]byte{'a'}, digest()))
	for side := range 2 {
		t.say(side, framed(linkMessage())).say(side, framed(linkMessage())).say(side, framed(nil))
	}
	return t
}

func plainNodes() *talk { return cleartext("a@h1.example", "b@h2.example") }

// nested is a packet in so many GRE tunnels.
func nested(depth int) []byte {
	p := plainNodes().packets[0]
	for range depth {
		p = ipv4(false, 47, 1, 0, append([]byte{0, 0, 0x08, 0}, p...)) // no flags, IPv4
	}
	return ethernet(p)
}

// overlapping is a TCP segment in two fragments that both have bytes 16 to 23,
// each its own.
func overlapping() []byte {
	const more = 0x2000
	segment := slices.Concat(be16(clientPort), be16(Port), be32(clientISN), be32(0), []byte{0x50, syn}, be16(64000), be32(0), make([]byte, 12))
	other := slices.Clone(segment[16:])
	other[0] = 0xff
	return pcapFile(262144, ethernet(ipv4(false, 6, 7, more, segment[:24])), ethernet(ipv4(false, 6, 7, 2, other)))
}

// badHeaders are TCP segments whose header is longer than they are, shorter
// than any, and whose options are endless.
func badHeaders() []byte {
	segment := func(offset byte, options ...byte) []byte {
		return ethernet(ipv4(false, 6, 1, 0, slices.Concat(be16(clientPort), be16(Port), be32(clientISN), be32(0), []byte{offset, syn}, be16(64000), be32(0), options)))
	}
	return pcapFile(262144,
		segment(0xf0),                 // 60 bytes, of which 20 are there
		segment(0x40),                 // 16 bytes
		segment(0x60, 2, 0, 5, 180),   // an option of length 0
		segment(0x60, 2, 255, 5, 180), // an option of length 255
	)
}

// gzipBomb is a capture of 2 MiB of packets without a byte.
func gzipBomb() []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(append(pcapFile(262144), make([]byte, 2<<20)...)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// zstdBomb is a capture of 4 MiB of packets without a byte, in 0.2 kB (RFC
// 8878, Section 3.1.1).
func zstdBomb() []byte {
	const blocks, size, raw, repeat = 32, 128 << 10, 0, 1
	le24 := func(v int) []byte { return le32(v)[:3] }
	head := pcapFile(262144)
	out := slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x38}, // no sizes, a window of 128 KiB
		le24(len(head)<<3|raw<<1), head)
	for i := range blocks {
		last := 0
		if i == blocks-1 {
			last = 1
		}
		out = append(out, le24(size<<3|repeat<<1|last)...)
		out = append(out, 0)
	}
	return out
}

// Controls is a name that would clear the screen, begin a new line, turn the
// direction of writing, and pretend to be other output.
const Controls = "\x1b[2J\r\npass\u202e\u2066\u200b\x00\u009b31m"

// twoLinkTypes has the client's packets in Ethernet and the server's without.
func twoLinkTypes() []byte {
	blocks := [][]byte{ngInterface(1), ngInterface(101)} // Ethernet, raw IP
	for i, p := range plainNodes().packets {
		if fromServer := p[15] == 2; fromServer {
			blocks = append(blocks, ngPacket(1, i, p))
		} else {
			blocks = append(blocks, ngPacket(0, i, ethernet(p)))
		}
	}
	return pcapngFile(blocks...)
}
