package decode

import (
	"bytes"
	"fmt"
	"slices"

	"distproof/decode/dist"
	"distproof/decode/pack"
	"distproof/decode/tls"
)

// KeepUnpacked has d keep no more connections unpacked that are at rest than n in
// each of its parts.
func (d *Decoder) KeepUnpacked(n int) {
	for i := range d.shards {
		d.shards[i].bounds.unpacked = n
	}
}

// Hold has the workers wait until they are released.
func (p *Pool) Hold() (release func()) {
	before := &p.waves[waves-1].done
	before.Store(0)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		before.Store(finished)
		p.moved.Broadcast()
	}
}

// Unchecked is that of the decoder.
func (l *Live) Unchecked() int { return l.d.Unchecked() }

// Unchecked returns how many connections wait to have their signatures checked.
func (d *Decoder) Unchecked() (n int) {
	for i := range d.shards {
		for _, c := range d.shards[i].settled() {
			if c.state != nil && c.unchecked {
				n++
			}
		}
	}
	return n
}

// Packs returns how many connections were packed to make room.
func (d *Decoder) Packs() (n uint) {
	for i := range d.shards {
		n += d.shards[i].packs
	}
	return n
}

// PackAll packs the connections that are at rest, but for those that were not
// quiet yet, and returns how many these were.
func (d *Decoder) PackAll() (n int) {
	for i := range d.shards {
		shard := &d.shards[i]
		shard.unpacked = slices.DeleteFunc(shard.unpacked, func(c *conn) bool {
			done := shard.pack(c)
			if done {
				n++
			}
			return done
		})
	}
	return n
}

// PackAll is that of the decoder.
func (l *Live) PackAll() int { return l.d.PackAll() }

// Packed returns how many connections are packed, and how many bytes they take.
func (d *Decoder) Packed() (n, bytes int) {
	for i := range d.shards {
		for _, c := range d.shards[i].settled() {
			if c.state == nil {
				n++
				bytes += len(c.packed)
			}
		}
	}
	return n, bytes
}

// Packed returns how many connections are packed.
func (l *Live) Packed() int {
	n, _ := l.d.Packed()
	return n
}

// Repack packs and unpacks the connections that are chosen of those at rest, into
// the states of others, and counts them by their kinds. What is packed once more
// must be the same.
func (d *Decoder) Repack(chosen func() bool, counts map[string]int) (err error) {
	for i := range d.shards {
		shard := &d.shards[i]
		for _, c := range shard.settled() {
			if c.state == nil || !c.atRest() || !chosen() {
				continue
			}
			for _, kind := range c.kinds() {
				counts[kind]++
			}
			room := shard.spare // that of another one
			if room == nil {
				room = newState(shard.budget)
			}
			shard.pack(c)
			c.unpackTo(room, &shard.unpacker)
			again := pack.Writer(nil)
			if c.state.pack(&again, c.shared); !bytes.Equal(again.Packed(), c.packed) {
				err = fmt.Errorf("a connection between %v was\n%x\nand is, unpacked,\n%x", c.ends, c.packed, again.Packed())
			}
		}
	}
	return err
}

// kinds returns what is packed with c.
func (c *conn) kinds() (all []string) {
	for kind, is := range map[string]func(*stream) bool{
		"TLS":                      func(s *stream) bool { return s.tls != nil && s.tls.Status() == tls.Synced },
		"cleartext":                func(s *stream) bool { return s.dist != nil && s.dist.Facts().Recognition == dist.ByHandshake },
		"cleartext from the midst": func(s *stream) bool { return s.dist != nil && s.dist.Facts().Recognition == dist.ByFraming },
		"unknown so far":           func(s *stream) bool { return s.dist != nil && !s.dist.Found() },
		"cleartext behind TLS":     func(s *stream) bool { return s.inside != nil },
		"first bytes":              func(s *stream) bool { return s.first != nil },
		"EPMD":                     func(s *stream) bool { return s.epmd != nil },
	} {
		if is(&c.streams[0]) || is(&c.streams[1]) {
			all = append(all, kind)
		}
	}
	return all
}

// PackAndUnpack does so with the connections that are at rest.
func (d *Decoder) PackAndUnpack() (n int) {
	for i := range d.shards {
		for _, c := range d.shards[i].settled() {
			if d.shards[i].pack(c) {
				d.shards[i].unpack(c)
				n++
			}
		}
		d.shards[i].unpacked = d.shards[i].unpacked[:0]
	}
	return n
}
