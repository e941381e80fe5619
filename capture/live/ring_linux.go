package live

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"distproof/capture"
)

// A ring is memory shared with the kernel, in blocks: the kernel fills a block
// with packets and hands it over, and gets it back when all are read
// (https://www.kernel.org/doc/html/latest/networking/packet_mmap.html).
type ring struct {
	fd     int
	memory []byte
	blocks int
	// cooked asks for cooked headers in place of all link layers.
	cooked bool

	block int // the one that is read, or that is waited for
	held  bool
	left  int // packets of the block still to come
	at    int // where the next one begins, within the block
}

const (
	// blockSize is more than the largest packet: a packet does not span blocks.
	blockSize = 1 << 20
	// retirement is after how many milliseconds the kernel hands over a block
	// that has packets, though it is not full.
	retirement = 40
	// headroom is kept free before each packet, for a cooked header (20 bytes)
	// and a VLAN tag (4).
	headroom = 32
)

// Offsets in struct tpacket_block_desc (version 1): version (4), offset of
// private data (4), status (4), packets (4), offset of the first (4), …
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16
)

// Offsets in struct tpacket3_hdr, and of the struct sockaddr_ll behind it.
const (
	packetNext      = 0  // offset of the next header, from this one
	packetSeconds   = 4  //
	packetNanos     = 8  //
	packetSnaplen   = 12 // captured bytes
	packetLength    = 16 // bytes in all
	packetStatus    = 20 //
	packetMAC       = 24 // offset of the packet, from this header; 16 bits
	packetNetwork   = 26 // offset of what is behind the link layer; 16 bits
	packetVLAN      = 32 // the tag that the kernel took out: priority and number
	packetVLANProto = 36 // its EtherType; 16 bits
	packetAddress   = 48

	addressProtocol = packetAddress + 2  // EtherType, in network byte order
	addressIndex    = packetAddress + 4  // number of the interface
	addressHardware = packetAddress + 8  // ARPHRD type
	addressType     = packetAddress + 10 // to us, broadcast, …, sent by us
	addressLength   = packetAddress + 11 //
	addressBytes    = packetAddress + 12 // 8 bytes
)

// openRing gives a socket its ring, of about size bytes; less if the kernel has
// not so much.
func openRing(fd, size int, cooked bool) (*ring, error) {
	for {
		r := &ring{fd: fd, blocks: max(size/blockSize, 1), cooked: cooked}
		err := r.open()
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, unix.ENOMEM) || size <= MinBuffer {
			return nil, err
		}
		size /= 2
	}
}

func (r *ring) open() error {
	const frame = 1 << 11 // counts for older versions only, but must fit the block
	req := &unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(r.blocks),
		Frame_size: frame, Frame_nr: uint32(r.blocks * blockSize / frame),
		Retire_blk_tov: retirement,
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return err
	}
	var err error
	r.memory, err = unix.Mmap(r.fd, 0, r.blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{}) // undo
	}
	return err
}

func (r *ring) close() error {
	memory := r.memory
	r.memory = nil
	return unix.Munmap(memory)
}

// current is the memory of the current block.
func (r *ring) current() []byte {
	return r.memory[r.block*blockSize:][:blockSize:blockSize]
}

// status is written by the kernel, too.
func (r *ring) status() *uint32 { return (*uint32)(unsafe.Pointer(&r.current()[blockStatus])) }

// ready reports whether there is a packet to read, and gives a block back that
// has none left.
func (r *ring) ready() bool {
	for r.left == 0 {
		if r.held {
			binary.NativeEndian.PutUint32(r.current()[blockPackets:], 0) // for begun
			atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
			r.held = false
			r.block = (r.block + 1) % r.blocks
		}
		if atomic.LoadUint32(r.status())&unix.TP_STATUS_USER == 0 {
			return false
		}
		b := r.current()
		r.held = true
		r.left = int(binary.NativeEndian.Uint32(b[blockPackets:]))
		r.at = int(binary.NativeEndian.Uint32(b[blockFirst:]))
	}
	return true
}

// begun is how many packets are in the block that the kernel is to hand over
// next.
func (r *ring) begun() uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.current()[blockPackets])))
}

// next reads the next packet, of a ring that is ready. Its bytes stay until
// ready is called again.
func (r *ring) next(p *capture.Packet) {
	h := r.current()[r.at:]
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(h[at:]) }
	start := int(binary.NativeEndian.Uint16(h[packetMAC:]))
	end := start + int(u32(packetSnaplen))
	at := start
	cooked := r.cooked || !isEthernet(binary.NativeEndian.Uint16(h[addressHardware:]))
	if cooked {
		at = cook(h, start, end)
	} else if tag, tagged := tagOf(h); tagged && end-start >= addresses {
		at = start - len(tag)
		copy(h[at:], h[start:start+addresses])
		copy(h[at+addresses:], tag[:])
	}
	*p = capture.Packet{
		Data:     h[at:end:end],
		Length:   max(int(u32(packetLength))+start-at, end-at),
		Time:     int64(u32(packetSeconds))*1e9 + int64(u32(packetNanos)),
		LinkType: linkEthernet,
	}
	if cooked {
		p.LinkType = linkCooked
	}
	r.at += int(u32(packetNext))
	r.left--
}

// tagOf is the VLAN tag of a packet that the kernel holds beside it.
func tagOf(h []byte) (tag [4]byte, tagged bool) {
	status := binary.NativeEndian.Uint32(h[packetStatus:])
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		return tag, false
	}
	proto := uint16(etherVLAN)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		proto = binary.NativeEndian.Uint16(h[packetVLANProto:])
	}
	binary.BigEndian.PutUint16(tag[:], proto)
	binary.BigEndian.PutUint16(tag[2:], uint16(binary.NativeEndian.Uint32(h[packetVLAN:])))
	return tag, true
}

// Lengths of an Ethernet header, and of the two addresses in it.
const (
	addresses      = 12
	ethernetHeader = 14
)

// cook puts a Linux cooked header of version 2 in place of the link layer of a
// packet, which is in h from start to end, and returns where it begins then.
//
// The kernel could do so (SOCK_DGRAM), but then tells a wrong protocol of
// packets with two VLAN tags (seen in Linux 6.18).
func cook(h []byte, start, end int) (at int) {
	const size = 20
	var c [size + 4]byte
	header := c[:size]
	behind := min(int(binary.NativeEndian.Uint16(h[packetNetwork:])), end)
	protocol := h[addressProtocol:][:2]
	if isEthernet(binary.NativeEndian.Uint16(h[addressHardware:])) && end-start >= ethernetHeader {
		behind = start + ethernetHeader
		protocol = h[start+addresses:][:2]
	}
	copy(header, protocol)
	binary.BigEndian.PutUint32(header[4:], binary.NativeEndian.Uint32(h[addressIndex:]))
	binary.BigEndian.PutUint16(header[8:], binary.NativeEndian.Uint16(h[addressHardware:]))
	header[10] = h[addressType]
	header[11] = h[addressLength]
	copy(header[12:], h[addressBytes:][:8])
	if tag, tagged := tagOf(h); tagged {
		copy(c[size:], tag[2:])
		copy(c[size+2:], header[:2])
		copy(header, tag[:2])
		header = c[:]
	}
	at = behind - len(header)
	copy(h[at:], header)
	return at
}
