package capture

import (
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// window is how much of a mapped file is fetched at a time. What lies behind
// is given back, so that a large file does not fill the memory.
const window = 4 << 20

// A mapping is a file in memory: its bytes need no copying, and those that
// nobody looks at, payloads for the most part, need not even be touched.
type mapping struct {
	data []byte
	// data[:released] was given back; at next the next window is due.
	released, next int
	// consumed is told how far the reader is.
	consumed *atomic.Int64
}

// mapCapture maps a capture that is not compressed. It returns nil for anything
// else, which has to be read.
func mapCapture(file *os.File, size int64, consumed *atomic.Int64) *mapping {
	var head [magicLength]byte
	if n, err := file.ReadAt(head[:], 0); err != nil && err != io.EOF || n < magicLength {
		return nil
	}
	if k := kindOf(head[:]); k != kindPcap && k != kindPcapng {
		return nil
	}
	data := mapFile(file, size)
	if data == nil {
		return nil
	}
	return &mapping{data: data, consumed: consumed}
}

// advance is told that everything before at is consumed, but for the packet
// that was delivered last.
func (m *mapping) advance(at int) {
	const page = 64 << 10 // a multiple of every page size in use
	at = at / page * page
	if at-window > m.released {
		release(m.data[m.released : at-window])
		m.released = at - window
	}
	m.next = min(at+window, len(m.data))
	prefetch(m.data[at:m.next])
	m.consumed.Store(int64(at))
	if m.next == len(m.data) {
		m.next = len(m.data) + 1 // nothing more to fetch
	}
}

// retire gives back what lies behind: the file was read to its end.
func (m *mapping) retire() {
	const page = 64 << 10
	if at := len(m.data) / page * page; at > m.released {
		release(m.data[m.released:at])
		m.released = at
	}
}

func (m *mapping) close() error {
	data := m.data
	m.data = nil
	return unmapFile(data)
}

// Guard runs f, which reads packets. If a mapped file becomes shorter
// meanwhile, the memory behind its end is gone: the fault becomes an error.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); !fault {
			panic(r)
		}
		err = &Error{Reason: "a capture became shorter while it was read", Advice: "copy it first, or wait until its writer has finished"}
	}()
	return f()
}
