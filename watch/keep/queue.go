package keep

import (
	"encoding/binary"

	"distproof/capture"
)

// recordHeader is the length of what stands before a packet's bytes in a record:
// time u64, length u32, captured u32, input u32, frame u32, link type u16, FCS u16.
const recordHeader = 28

func recordSize(p *capture.Packet) int { return recordHeader + len(p.Data) }

func appendRecord(b []byte, p *capture.Packet) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Time))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Length))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Data)))
	b = binary.LittleEndian.AppendUint32(b, p.Frame.Input)
	b = binary.LittleEndian.AppendUint32(b, p.Frame.Number)
	b = binary.LittleEndian.AppendUint16(b, uint16(p.LinkType))
	b = binary.LittleEndian.AppendUint16(b, uint16(p.FCSLength))
	return append(b, p.Data...)
}

// readRecord reads the first record of b, and returns its size. The packet's
// bytes are those of b.
func readRecord(b []byte, p *capture.Packet) int {
	size := recordHeader + int(binary.LittleEndian.Uint32(b[12:]))
	*p = capture.Packet{
		Time:      int64(binary.LittleEndian.Uint64(b)),
		Length:    int(binary.LittleEndian.Uint32(b[8:])),
		Frame:     capture.Frame{Input: binary.LittleEndian.Uint32(b[16:]), Number: binary.LittleEndian.Uint32(b[20:])},
		LinkType:  capture.LinkType(binary.LittleEndian.Uint16(b[24:])),
		FCSLength: uint8(binary.LittleEndian.Uint16(b[26:])),
		Data:      b[recordHeader:size],
	}
	return size
}

// An item is what is written at once, and to one file: a file that begins must
// not have earlier packets of a connection than the one before.
type item struct {
	records []byte
	packets int
	notes   []note
}

// A note has comments on the packet of a record.
type note struct {
	at    int
	texts []string
}

const (
	// maxQueue bounds the bytes that wait to be written.
	maxQueue = 16 << 20
	// itemSize is when an item of single packets is full.
	itemSize = 256 << 10
)

// A queue has what is to be written.
type queue struct {
	items []item
	// open says that the last item takes more packets.
	open bool
	// bytes counts what is in the queue and what is being written.
	bytes int
}

// enqueue saves a packet.
func (k *Keeper) enqueue(c *connection, p *capture.Packet) {
	c.taken += len(p.Data)
	c.upTo = p.Frame
	q := &k.queue
	size := recordSize(p)
	if q.bytes+size > maxQueue {
		k.counters.Lost++
		return
	}
	if !q.open || len(q.items[len(q.items)-1].records)+size > itemSize {
		q.items = append(q.items, item{})
		q.open = true
	}
	last := &q.items[len(q.items)-1]
	if c.notes != nil {
		last.notes = append(last.notes, note{len(last.records), c.notes})
		c.notes = nil
	}
	last.records = appendRecord(last.records, p)
	last.packets++
	q.bytes += size
	k.rouse()
}

// push saves packets that were held.
func (k *Keeper) push(c *connection, records []byte, notes []note) {
	n := 0
	var p capture.Packet
	for at := 0; at < len(records); n++ {
		at += readRecord(records[at:], &p)
	}
	c.upTo = p.Frame
	q := &k.queue
	if q.bytes+len(records) > maxQueue {
		k.counters.Lost += uint64(n)
		return
	}
	q.items = append(q.items, item{records, n, notes})
	q.open = false
	q.bytes += len(records)
	k.rouse()
}

// rouse has the queue written.
func (k *Keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// take empties the queue, but for the count of its bytes.
func (k *Keeper) take() []item {
	k.mu.Lock()
	defer k.mu.Unlock()
	items := k.queue.items
	k.queue.items, k.queue.open = nil, false
	return items
}
