//go:build linux

package main

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// A kind is one sort of capture.
type kind struct {
	name, story string
	// make writes the capture, and returns how many connections between nodes
	// there are in it of each verdict.
	make func(w *writer, t templates, scale float64) (map[string]int, error)
	// piped says that the capture is too large for a file, unless it is scaled.
	piped bool
}

var kinds = []kind{
	{"bulk", "few connections, full-size segments: 2 GB", bulk(false), false},
	{"small", "few connections, 10 million small segments", small, false},
	{"many", "1,000,000 TLS connections, all open at once: handshakes, ticks, short traffic: 6.5 GB", many, true},
	{"mix", "20,000 connections of every verdict that come up, talk, and stay open: 3.6 GB", mix, false},
	{"mesh", "200 nodes, 19,900 connections, an hour of ticks", mesh, false},
	{"plain", "cleartext with remote procedure calls and large results: 1 GB", plain, false},
	{"vxlan", "bulk inside VXLAN: 1 GB", bulk(true), false},
	{"lossy", "2,000 connections with lost, doubled and swapped segments", lossy, false},
}

// The parts of a capture do not get smaller than this, however small the scale.
const (
	fewConnections = 8
	classes        = 10
)

// scaled is n times the scale, but at least low.
func scaled(n, scale float64, low int) int { return max(int(math.Round(n*scale)), low) }

// begin is when all captures begin, in nanoseconds since 1970.
const begin = 1_700_000_000 * 1_000_000_000

// flowOf returns the i-th copy of a conversation. No two have the same addresses
// and ports.
func flowOf(i int) flow {
	const ports = 20_000
	h := scramble(uint64(i))
	host := i / ports
	return flow{
		client:     [4]byte{10, 64, byte(host >> 8), byte(host)},
		server:     [4]byte{10, 128, byte(h >> 40 % 50), byte(h >> 32 % 200)},
		clientPort: uint16(32768 + i%ports), serverPort: 42617,
		isn:   [2]uint32{uint32(h), uint32(scramble(h))},
		begin: begin,
	}
}

// scramble is a permutation of numbers without pattern (splitmix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// noise returns bytes that look encrypted.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// record is a TLS record of application data.
func record(content []byte) []byte {
	return append([]byte{23, 3, 3, byte(len(content) >> 8), byte(len(content))}, content...)
}

// fullRecord is the content of the largest record that OTP sends in TLS 1.3:
// 2^14 bytes, their type, and the tag.
const fullRecord = 1<<14 + 17

// Segments of full size: an MTU of 1500, less the headers with a timestamp, and
// less those of VXLAN.
const (
	fullSegment   = 1448
	tunnelSegment = fullSegment - 50
)

func bulk(tunnel bool) func(*writer, templates, float64) (map[string]int, error) {
	size, segment := 2e9, fullSegment
	if tunnel {
		size, segment = 1e9, tunnelSegment
	}
	return func(w *writer, t templates, scale float64) (map[string]int, error) {
		c := t["mutual_tls13"].open()
		var l loop
		l.from(c)
		random := noise(fullRecord * 48)
		for ; len(random) > 0; random = random[fullRecord:] {
			l.s.stream(l.bursts()%4 == 3, record(random[:fullRecord]), segment)
			l.cut()
		}
		l.repeat(w, c, fewConnections, uint64(scaled(size, scale, 1)), tunnel)
		return map[string]int{c.verdict: fewConnections}, nil
	}
}

func small(w *writer, t templates, scale float64) (map[string]int, error) {
	c := t["mutual_tls13"].open()
	var real [2][][]byte // the records behind the handshake, as short as they are
	for _, s := range c.steps {
		if n := len(s.payload); n > 5 && s.payload[0] == 23 && int(binary.BigEndian.Uint16(s.payload[3:])) == n-5 && n < 256 {
			real[side(s.server)] = append(real[side(s.server)], s.payload)
		}
	}
	if len(real[0]) == 0 || len(real[1]) == 0 {
		return nil, fmt.Errorf("no short records to repeat")
	}
	var l loop
	l.from(c)
	for i := range 64 {
		l.s.say(false, real[0][i%len(real[0])])
		l.s.say(true, real[1][i%len(real[1])])
		l.cut()
	}
	const average = 16 + 66 + 110
	l.repeat(w, c, fewConnections, uint64(scaled(10e6*average, scale, 1)), false)
	return map[string]int{c.verdict: fewConnections}, nil
}

// plain repeats a real call and its answers, the last of which carries a large
// result more.
func plain(w *writer, t templates, scale float64) (map[string]int, error) {
	c := t["plain"].open()
	call, answers, err := exchange(c)
	if err != nil {
		return nil, err
	}
	var l loop
	l.from(c)
	random := noise(1 << 15)
	for i := range 32 {
		l.s.say(false, call)
		for _, a := range answers[:len(answers)-1] {
			l.s.say(true, a)
		}
		large, err := withBinary(answers[len(answers)-1], random[:1<<(i%8+8)])
		if err != nil {
			return nil, err
		}
		l.s.stream(true, large, fullSegment)
		l.cut()
	}
	l.repeat(w, c, fewConnections, uint64(scaled(1e9, scale, 1)), false)
	return map[string]int{c.verdict: fewConnections}, nil
}

// exchange returns the last call of a conversation in the clear, and the answers
// to it: what was said before the ticks.
func exchange(c conversation) (call []byte, answers [][]byte, err error) {
	for _, s := range c.steps {
		switch n := len(s.payload); {
		case n <= 4 || s.payload[4] != 131: // a tick, or the handshake
		case !s.server:
			call, answers = s.payload, nil
		default:
			answers = append(answers, s.payload)
		}
	}
	if call == nil || len(answers) == 0 {
		return nil, nil, fmt.Errorf("no call in the clear to repeat")
	}
	return call, answers, nil
}

// withBinary adds an element to the tuple that a message carries, which is its
// last term and has three: a binary.
func withBinary(message, content []byte) ([]byte, error) {
	const smallTuple, newPid, binaryTag = 104, 90, 109
	i := bytes.LastIndex(message, []byte{smallTuple, 3, newPid})
	if i < 0 {
		return nil, fmt.Errorf("no tuple of three to add a binary to")
	}
	out := bytes.Clone(message)
	out[i+1]++
	out = append(out, binaryTag)
	out = binary.BigEndian.AppendUint32(out, uint32(len(content)))
	out = append(out, content...)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}

// A loop is what connections say over and over again, in bursts.
type loop struct {
	s    *script
	sent [2]uint32 // before the loop
	ends []int     // of the bursts, in the script's steps
}

func (l *loop) from(c conversation) {
	l.s = c.then()
	l.sent = l.s.sent
}

func (l *loop) cut()        { l.ends = append(l.ends, len(l.s.steps)) }
func (l *loop) bursts() int { return len(l.ends) }

// repeat writes n connections that come up and then say bursts in turn, until
// size bytes are written. A microsecond is between any two packets.
func (l *loop) repeat(w *writer, c conversation, n int, size uint64, tunnel bool) {
	flows := make([]flow, n)
	for i := range flows {
		flows[i] = flowOf(i)
		flows[i].tunnel = tunnel
		for k := range c.steps {
			w.packet(&flows[i], &c.steps[k], int64(w.packets)*1000, 0, 0)
		}
	}
	again := [2]uint32{l.s.sent[0] - l.sent[0], l.s.sent[1] - l.sent[1]}
	written := uint64(0)
	for round := uint32(0); ; round++ {
		from := 0
		for _, to := range l.ends {
			for i := range flows {
				for k := from; k < to; k++ {
					s := &l.s.steps[k]
					me := side(s.server)
					w.packet(&flows[i], s, int64(w.packets)*1000, round*again[me], round*again[1-me])
					written += uint64(recordLength + etherLength + ipLength + tcpLength + len(s.options) + len(s.payload))
				}
			}
			from = to
			if written >= size || w.err != nil {
				return
			}
		}
	}
}

// mixed are the conversations of many: one of ten connections each.
func mixed(t templates) [classes]conversation {
	var out [classes]conversation
	for i := range out {
		name := "mutual_tls13"
		switch i {
		case 6, 7:
			name = "mutual_tls12"
		case 8:
			name = "oneway_tls13"
		case 9:
			name = "empty_accepted_tls13"
		}
		out[i] = t[name].open()
	}
	return out
}

func many(w *writer, t templates, scale float64) (map[string]int, error) {
	const spread = 60e9
	n := scaled(1e6, scale, classes)
	cs := mixed(t)
	for i, c := range cs {
		cs[i].steps = c.withTicks(2, spread)
	}
	m := merger{n: n, spacing: spread / int64(n), classes: cs[:]}
	m.write(w, nil)
	return m.verdicts(), nil
}

// mix has the conversations of many, and one in the clear, go on with large results of
// calls. Of six packets, one is of a handshake.
func mix(w *writer, t templates, scale float64) (map[string]int, error) {
	const bursts, spread = 10, 60e9
	cs := mixed(t)
	all := append(cs[:], t["plain"].open())
	call, answers, err := exchange(all[classes])
	if err != nil {
		return nil, err
	}
	random := noise(fullRecord)
	large, err := withBinary(answers[len(answers)-1], random)
	if err != nil {
		return nil, err
	}
	for i, c := range all {
		s, small, result := c.then(), record(random[:60]), record(random)
		if i == classes {
			small, result = call, large
		}
		for range bursts {
			s.say(false, small)
			s.stream(true, result, fullSegment)
			s.at += spread / bursts
		}
		all[i].steps = append(c.steps, s.steps...)
	}
	n := scaled(20_000, scale, len(all))
	m := merger{n: n, spacing: spread / int64(n), classes: all}
	m.write(w, nil)
	return m.verdicts(), nil
}

// mesh connects every node to every other one.
func mesh(w *writer, t templates, scale float64) (map[string]int, error) {
	const hour, tick = 3600e9, 15e9
	nodes := scaled(200, math.Sqrt(scale), 3)
	c := t["mutual_tls13"].open()
	c.steps = c.withTicks(max(int(hour/tick*math.Sqrt(scale)), 2), tick)
	m := merger{n: nodes * (nodes - 1) / 2, spacing: 1e6, classes: []conversation{c}}
	pairs := make([][2]int, 0, m.n)
	for a := range nodes {
		for b := range a {
			pairs = append(pairs, [2]int{a, b})
		}
	}
	m.flow = func(i int) flow {
		f := flowOf(i)
		a, b := pairs[i][0], pairs[i][1]
		f.client, f.server = [4]byte{10, 30, byte(a >> 8), byte(a)}, [4]byte{10, 30, byte(b >> 8), byte(b)}
		f.clientPort, f.serverPort = uint16(45000+b), uint16(40000+b)
		return f
	}
	m.write(w, nil)
	return m.verdicts(), nil
}

// withTicks adds n ticks of each side.
func (c conversation) withTicks(n int, interval int64) []step {
	s := c.then()
	ticks := [2][]byte{c.steps[c.last(false)].payload, c.steps[c.last(true)].payload}
	for range n {
		s.at += interval
		for i, t := range ticks {
			s.say(i == 1, t)
			s.at += 40_000
			s.say(i == 0, nil)
			s.at += 100_000_000
		}
	}
	return append(c.steps, s.steps...)
}

// lossy loses the server's certificate of one connection in ten, so that nothing
// is proven, and of all of them segments after they came up.
func lossy(w *writer, t templates, scale float64) (map[string]int, error) {
	n := scaled(2000, scale, classes)
	full := t["mutual_tls13"].open()
	up := len(full.steps)
	s := full.then()
	for i, random := 0, noise(fullRecord*12); i < 12; i++ {
		s.stream(i%2 == 0, record(random[i*fullRecord:][:fullRecord]), fullSegment)
	}
	full.steps = append(full.steps, s.steps...)
	m := merger{n: n, spacing: 50e9 / int64(n), flow: func(i int) flow {
		f := flowOf(i)
		f.server = [4]byte{10, 128, 0, 1} // the others show what listens there
		return f
	}}
	for range classes {
		m.classes = append(m.classes, full)
	}
	m.classes[classes-1].verdict = "inconclusive"
	flight := largest(full.steps[:up])
	random := rand.New(rand.NewPCG(1, 2))
	m.write(w, func(i, k int) fate {
		switch {
		case i%classes == classes-1 && k == flight:
			return lost
		case k < up:
			return arrives
		}
		return fate(max(random.IntN(100)-100+int(fates), 0))
	})
	return m.verdicts(), nil
}

// largest returns the index of the server's largest segment.
func largest(steps []step) int {
	found := -1
	for i, s := range steps {
		if s.server && (found < 0 || len(s.payload) > len(steps[found].payload)) {
			found = i
		}
	}
	return found
}

// A fate is what becomes of a packet.
type fate int

const (
	arrives fate = iota
	lost
	twice
	later // behind the next packet
	fates
)

// A merger writes n connections in the order of time. Connection i is of class i
// modulo their number, and begins spacing after the one before it.
type merger struct {
	n       int
	spacing int64
	classes []conversation
	flow    func(int) flow // flowOf unless set
	front   []place
}

// A place is the next connection of which a step is to be written.
type place struct {
	at         int64
	class, k   int
	connection int
}

func (m *merger) Len() int      { return len(m.front) }
func (m *merger) Swap(i, j int) { m.front[i], m.front[j] = m.front[j], m.front[i] }
func (m *merger) Push(any)      {}
func (m *merger) Pop() any {
	m.front = m.front[:len(m.front)-1]
	return nil
}

func (m *merger) Less(i, j int) bool {
	a, b := &m.front[i], &m.front[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.k < b.k || a.k == b.k && a.class < b.class
}

// write takes, of each step of each class, one connection after the other: there
// are far fewer steps than connections.
func (m *merger) write(w *writer, fateOf func(i, k int) fate) {
	if m.flow == nil {
		m.flow = flowOf
	}
	for class, c := range m.classes {
		for k, s := range c.steps {
			m.front = append(m.front, place{int64(class)*m.spacing + s.at, class, k, class})
		}
	}
	heap.Init(m)
	type packet struct {
		f     flow
		s     *step
		after int64
	}
	var held *packet
	for len(m.front) > 0 && w.err == nil {
		p := &m.front[0]
		x := packet{m.flow(p.connection), &m.classes[p.class].steps[p.k], p.at}
		what := arrives
		if fateOf != nil {
			what = fateOf(p.connection, p.k)
		}
		if what == later && held == nil {
			held = &x
		} else {
			if what != lost {
				w.packet(&x.f, x.s, x.after, 0, 0)
			}
			if what == twice {
				w.packet(&x.f, x.s, x.after, 0, 0)
			}
			if held != nil {
				w.packet(&held.f, held.s, x.after, 0, 0)
				held = nil
			}
		}
		p.connection += len(m.classes)
		p.at += int64(len(m.classes)) * m.spacing
		if p.connection < m.n {
			heap.Fix(m, 0)
		} else {
			m.Swap(0, len(m.front)-1)
			m.Pop()
			if len(m.front) > 0 {
				heap.Fix(m, 0)
			}
		}
	}
}

// verdicts counts the connections by what is proven of them.
func (m *merger) verdicts() map[string]int {
	out := make(map[string]int)
	for i := range m.n {
		out[m.classes[i%len(m.classes)].verdict]++
	}
	return out
}
