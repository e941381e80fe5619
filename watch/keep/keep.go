// Package keep saves what a watch saw of distribution: the beginnings of its
// connections, the packets around findings, and what port mappers were asked. It
// goes to files of a bounded number, size and age, of which the oldest give way.
//
// A packet comes before anybody knows whether its connection is distribution.
// Until a [watch.State] tells, the beginning of each connection waits in memory,
// of which there is a bounded amount: the least likely ones are forgotten first.
package keep

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/watch"
)

// Options of [Open].
type Options struct {
	// Program is the name and version of the program, for the files.
	Program string
	// Size is how many bytes all files may have, Files how many there may be,
	// and Age how long packets are kept; zero is no limit for Age.
	Size  int64
	Files int
	Age   time.Duration
	// UID and GID own a folder that has to be made; -1 is who runs.
	UID, GID int
	// Links are those of the watch.
	Links link.Options
	// Head is how many bytes of packets are taken from the beginning of a
	// connection, and Memory how much there is to wait in; zero is
	// [DefaultHead] and [DefaultMemory].
	Head   int
	Memory int
	Log    *slog.Logger
	// testOnlyRetry replaces retryAfter.
	testOnlyRetry time.Duration
}

const (
	// DefaultHead has room for handshakes with long chains of certificates, and
	// for what shows that a session is up.
	DefaultHead = 64 << 10
	// DefaultMemory is for 512 beginnings of full length, or for many more of
	// those that there are.
	DefaultMemory = 32 << 20
)

// What is saved around a finding: of the packets before it the last recent bytes
// at least, and afterPackets later ones, unless they take longer than afterTime.
const (
	recent       = 64 << 10
	afterPackets = 100
	afterTime    = 10 * time.Second
)

// Counters are what became of packets.
type Counters struct {
	// Packets were written.
	Packets uint64
	// Lost packets were to be written, but could not be.
	Lost uint64
	// Forgotten counts connections whose beginnings had to make room while it was
	// not known what they are, and Missed those of them that turned out to be
	// distribution.
	Forgotten, Missed uint64
	// Errors counts how often the files could not be written, and Failing says that
	// it is so now.
	Errors  uint64
	Failing bool
	// Files and Bytes are those of the folder that this and earlier runs saved.
	Files int
	Bytes int64
}

// A Keeper is a [watch.Tap] that saves packets.
type Keeper struct {
	o     Options
	files *files

	mu          sync.Mutex
	connections map[uint64]*connection
	last        *connection // the one of the last packet
	order       [orders]list
	all         list
	memory      int // bytes that connections hold
	states      uint64
	dropped     uint64 // by the kernel, as of the last State
	fragments   fragments
	queue       queue
	counters    Counters

	wake     chan struct{}
	end, out chan struct{}
}

// Open makes the folder, if there is none. Files are made by Start.
func Open(dir string, o Options) (*Keeper, error) {
	o.Head, o.Memory = cmp.Or(o.Head, DefaultHead), cmp.Or(o.Memory, DefaultMemory)
	files, err := openFolder(dir, o)
	if err != nil {
		return nil, err
	}
	k := &Keeper{o: o, files: files, connections: make(map[uint64]*connection), fragments: newFragments(o.Links)}
	k.all.which = byState
	k.wake, k.end, k.out = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	return k, nil
}

// Start makes the first file and begins to save. It is called once. A disk that is
// full is no error: there may be room later.
func (k *Keeper) Start() error {
	var said told
	err := k.files.next()
	switch {
	case errors.Is(err, syscall.ENOSPC):
		k.files.pause()
		k.tell(&said, Counters{}, err)
	case err != nil:
		return err
	}
	k.done(&said, err)
	go k.write(said)
	return nil
}

// Packet implements [watch.Tap].
func (k *Keeper) Packet(p *capture.Packet, number uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	parts, missing := k.fragments.take(p, number)
	if number == 0 {
		return
	}
	c := k.last
	if c == nil || c.number != number {
		if c = k.connections[number]; c == nil {
			c = k.add(number)
		}
		k.last = c
	}
	for _, record := range parts {
		var part capture.Packet
		readRecord(record, &part)
		k.packet(c, &part)
	}
	if missing > 0 && c.phase != ignored {
		k.counters.Lost += uint64(missing)
	}
	k.packet(c, p)
}

// packet takes a packet of a connection.
func (k *Keeper) packet(c *connection, p *capture.Packet) {
	switch c.phase {
	case waiting:
		if c.taken < k.o.Head {
			k.hold(c, p)
		}
	case saving:
		k.enqueue(c, p)
		if c.taken >= k.o.Head {
			c.phase = following
		}
	case following:
		k.follow(c, p)
	case ignored:
	}
}

// follow takes a packet of a connection whose beginning is saved.
func (k *Keeper) follow(c *connection, p *capture.Packet) {
	if c.after == afterPackets {
		c.until = p.Time + afterTime.Nanoseconds()
	}
	if c.after > 0 && p.Time <= c.until {
		c.after--
		k.enqueue(c, p)
		return
	}
	c.after = 0
	if len(c.packets)+recordSize(p) > recent {
		c.older, c.packets = c.packets, c.older[:0]
	}
	k.hold(c, p)
}

// hold keeps a packet in memory.
func (k *Keeper) hold(c *connection, p *capture.Packet) {
	if c.order == orderNowhere {
		k.move(c, orderSaved)
	}
	before := cap(c.packets)
	c.packets = appendRecord(c.packets, p)
	c.taken += len(p.Data)
	if grown := cap(c.packets) - before; grown > 0 {
		k.memory += grown
		k.makeRoom(c)
	}
}

// step is how many connections are looked at while packets wait.
const step = 256

// State implements [watch.Tap].
func (k *Keeper) State(s *watch.State) {
	k.mu.Lock()
	k.states++
	k.dropped = s.Dropped
	k.mu.Unlock()
	var save []news
	k.each(newsOf(s), func(n *news) {
		if k.learn(n) {
			save = append(save, *n)
		}
	})
	annotate(save, s)
	k.each(save, k.save)
	k.mu.Lock()
	k.forgetGone()
	k.mu.Unlock()
}

// each calls f with all news. Packets may come in between.
func (k *Keeper) each(all []news, f func(*news)) {
	for part := range slices.Chunk(all, step) {
		k.mu.Lock()
		for i := range part {
			f(&part[i])
		}
		k.mu.Unlock()
	}
}

// Counters returns what was saved so far. It may be called from any goroutine.
func (k *Keeper) Counters() Counters {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counters
}

// Close writes what is left. No packets may come any more.
func (k *Keeper) Close() error {
	close(k.end)
	<-k.out
	return k.files.close()
}
