package capture

import (
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const (
	// window is how much of a mapped file is fetched at a time.
	window = 4 << 20
	// behind is how far back packets are looked at that others decode. What lies
	// further back is given back, so that a large file does not fill the memory.
	behind = 12 << 20
	// lump is given back at once, at the least: all processors have to be told.
	lump = 8 << 20
)

// A mapping is a file in memory: its bytes need no copying, and those that
// nobody looks at, payloads for the most part, need not even be touched.
type mapping struct {
	data []byte
	// data[:released] was given back, data[:fetched] asked for, and data[:ready] of
	// that before.
	released, fetched, ready int
	fetching                 sync.WaitGroup
	// parted is the end of the last part that is read ahead of its turn.
	parted int
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

// page is a multiple of every page size in use.
const page = 64 << 10

// advance is told that everything before at is consumed, but for the packet
// that was delivered last. It returns up to where the file is resident.
func (m *mapping) advance(at int) int {
	if at >= m.ready {
		m.fetch(at)
	}
	return m.ready
}

// fetch makes the window behind at resident, and gives back what lies far
// behind it. This takes the kernel a fifth of the time that a capture takes, and
// so it is done in the background, a window ahead.
func (m *mapping) fetch(at int) {
	at = at / page * page
	m.fetching.Wait()
	if m.fetched < at+1 {
		m.fetched = min(at+window, len(m.data))
		populate(m.data[at:m.fetched])
	}
	m.ready = m.fetched
	m.fetched = min(m.ready+window, len(m.data))
	done, ahead := m.past(at), m.data[m.ready:m.fetched]
	if len(done)+len(ahead) > 0 {
		m.fetching.Go(func() {
			release(done)
			populate(ahead)
		})
	}
	m.consumed.Store(int64(at))
}

// past returns what lies far behind at and is now to be given back: nothing, or
// a lump and more.
func (m *mapping) past(at int) []byte {
	done := m.data[m.released:max((at-behind)/page*page, m.released)]
	if len(done) < lump {
		return nil
	}
	m.released += len(done)
	return done
}

// retire gives back what lies behind: the file was read to its end.
func (m *mapping) retire() {
	m.fetching.Wait()
	if at := len(m.data) / page * page; at > m.released {
		release(m.data[m.released:at])
		m.released = at
	}
}

func (m *mapping) close() error {
	m.fetching.Wait()
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
