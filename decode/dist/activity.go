package dist

import (
	"distproof/decode/tcp"
)

// Limits of what is counted by name.
const (
	// maxNames bounds the distinct names of one kind that are counted,
	// maxNameBytes their text.
	maxNames     = 256
	maxNameBytes = 64 << 10
	// maxSequences bounds the fragmented messages that are under way at once.
	maxSequences = 64
	// maxPayloads bounds the payloads that are kept as text, maxPayloadText the
	// bytes of one.
	maxPayloads    = 32
	maxPayloadText = 1 << 10
)

// Uses are the messages that brought the same [Call].
type Uses struct {
	Count uint64
	// First and Last are where the first and the last of them begin.
	First, Last tcp.Position
}

// A Payload is the term that a message carries.
type Payload struct {
	At        tcp.Position
	Operation string
	// Name is the registered name that it was sent to, if it was sent to one
	// that is known; Call what it made its receiver run, if anything.
	Name string
	Call Call
	// Text is the term in Erlang's syntax, escaped. Whole is false if something
	// was left out: what may be secret, what is too long or too deep, and
	// binaries that are not text.
	Text  string
	Whole bool
}

// An activity is what the messages of a direction did. It is counted by index
// where the number of kinds is known, and by name only where it is not.
type activity struct {
	volumes [len(operations)]volume
	names   tally
	spawned tally
	calls   [ByRequest + 1]callTally
	// sequences are the fragmented messages that are under way, the oldest
	// first.
	sequences []sequence
	scratch   []byte
	// last is what was counted of the last message.
	last struct {
		op      uint8
		payload uint64
		largest uint64 // the largest before it
	}
}

type volume struct{ messages, bytes uint64 }

// A sequence is a fragmented message.
type sequence struct {
	id, next uint64 // next is the fragment that has to follow
	size     uint64
	op       uint8
}

// A tally counts by name.
type tally struct {
	names  []*word
	counts []uint64 // by the places of the names
	// index finds names when they are many.
	index map[string]int
	bytes int
}

// manyNames is how many names are searched one by one. Most sessions have fewer.
const manyNames = 8

// add counts a use of name, and returns its place. It returns -1 if there is no
// room.
func (t *tally) add(tables *Tables, name []byte) int {
	i := t.find(name)
	if i < 0 {
		if len(t.names) >= maxNames || t.bytes+len(name) > maxNameBytes {
			return -1
		}
		i = len(t.names)
		t.names, t.counts = append(t.names, tables.word(name)), append(t.counts, 0)
		t.bytes += len(name)
		t.note(i)
	}
	t.counts[i]++
	return i
}

// find returns the place of a name, -1 if it was not counted.
func (t *tally) find(name []byte) int {
	if t.index != nil {
		if i, ok := t.index[string(name)]; ok {
			return i
		}
		return -1
	}
	for i, w := range t.names {
		if w.text == string(name) {
			return i
		}
	}
	return -1
}

// note has the name at place i found, which is new.
func (t *tally) note(i int) {
	switch {
	case t.index != nil:
		t.index[t.names[i].text] = i
	case i >= manyNames:
		t.index = make(map[string]int)
		for i, w := range t.names[:i+1] {
			t.index[w.text] = i
		}
	}
}

// tell returns the number of uses by name; nil if nothing was ever counted.
func (t *tally) tell() map[string]uint64 {
	if len(t.names) == 0 {
		return nil
	}
	out := make(map[string]uint64, len(t.names))
	for i, w := range t.names {
		out[w.text] = t.counts[i]
	}
	return out
}

// A callTally also has where the first and the last use of each name were.
type callTally struct {
	tally
	ends [][2]tcp.Position
}

// add counts a use of name. It returns false if there is no room.
func (t *callTally) add(tables *Tables, name []byte, at tcp.Position) bool {
	i := t.tally.add(tables, name)
	switch {
	case i < 0:
		return false
	case i == len(t.ends):
		t.ends = append(t.ends, [2]tcp.Position{at, at})
	default:
		t.ends[i][1] = at
	}
	return true
}

// count adds a message of size bytes, its length included.
func (s *Stream) count(at tcp.Position, m *message, size uint64) {
	if s.activity == nil {
		s.activity = new(activity)
		s.facts.FirstMessage = at
	}
	a, f := s.activity, &s.facts
	f.Connected = true
	f.LastMessage = at
	a.last.op, a.last.payload, a.last.largest = m.op, 0, f.LargestMessage
	if m.sized {
		a.last.payload = size - 4 - uint64(m.overhead)
		f.PayloadBytes += a.last.payload
	}
	whole := size
	switch m.kind {
	case kindNextFrag:
		f.Fragments++
		if a.last.op, whole = a.follow(m, size); a.last.op == 0 {
			f.LostFragments++
		}
	case kindFirstFrag:
		whole = a.begin(m, size)
	case kindPass:
		f.PassThrough++
	case kindCompressed:
		f.Compressed++
	}
	f.LargestMessage = max(f.LargestMessage, whole)
	v := &a.volumes[a.last.op]
	v.bytes += size
	if m.kind == kindNextFrag {
		return
	}
	v.messages++
	s.countNames(at, m)
}

// countNames counts what a message tells by name.
func (s *Stream) countNames(at tcp.Position, m *message) {
	a, f := s.activity, &s.facts
	if m.named && (len(m.name.Text) == 0 || a.names.add(s.dec.tables, m.name.Text) < 0) {
		f.Unnamed++
	}
	if m.spawns {
		known := m.spawned.module.Known && m.spawned.function.Known
		a.scratch = append(append(append(a.scratch[:0], m.spawned.module.Text...), ':'), m.spawned.function.Text...)
		if !known || a.spawned.add(s.dec.tables, a.scratch) < 0 {
			f.Unnamed++
		}
	}
	if m.call.by != 0 {
		known := false
		a.scratch, known = m.call.appendTo(a.scratch[:0])
		if !known || !a.calls[m.call.by].add(s.dec.tables, a.scratch, at) {
			f.UnnamedCalls++
		}
	}
	if m.text != "" {
		s.keepPayload(at, m)
	}
}

func (s *Stream) keepPayload(at tcp.Position, m *message) {
	p := Payload{At: at, Operation: operations[m.op].name, Name: string(m.name.Text), Text: m.text, Whole: m.whole}
	if text, known := m.call.appendTo(nil); known {
		p.Call = Call{m.call.by, string(text)}
	}
	s.facts.Payloads = append(s.facts.Payloads, p)
}

// begin takes the first fragment of a message, and returns the size of the
// message if that is all of it.
func (a *activity) begin(m *message, size uint64) uint64 {
	if i := a.find(m.sequence); i >= 0 {
		a.drop(i)
	}
	if m.fragment <= 1 {
		return size
	}
	if len(a.sequences) == maxSequences {
		a.drop(0)
	}
	a.sequences = append(a.sequences, sequence{id: m.sequence, next: m.fragment - 1, size: size, op: m.op})
	return 0
}

// follow takes a further fragment. It returns the operation that the message
// began with, 0 if that was not seen, and its size if this was the last.
func (a *activity) follow(m *message, size uint64) (op uint8, whole uint64) {
	i := a.find(m.sequence)
	if i < 0 {
		return 0, 0
	}
	q := &a.sequences[i]
	if q.next != m.fragment {
		a.drop(i)
		return 0, 0
	}
	op = q.op
	q.next--
	q.size += size
	if q.next == 0 {
		whole = q.size
		a.drop(i)
	}
	return op, whole
}

func (a *activity) find(id uint64) int {
	for i := range a.sequences {
		if a.sequences[i].id == id {
			return i
		}
	}
	return -1
}

func (a *activity) drop(i int) { a.sequences = append(a.sequences[:i], a.sequences[i+1:]...) }

// shorten takes back n bytes of the last message, which ended before its end.
func (s *Stream) shorten(n uint64) {
	a := s.activity
	if a == nil {
		return
	}
	a.volumes[a.last.op].bytes -= n
	s.facts.PayloadBytes -= min(n, a.last.payload)
	s.facts.LargestMessage = a.last.largest
}

// tell fills f with what was counted.
func (a *activity) tell(f *Facts) {
	if a == nil {
		return
	}
	f.Messages, f.MessageBytes = make(map[string]uint64), make(map[string]uint64)
	for i, v := range a.volumes {
		if v.messages > 0 {
			f.Messages[operations[i].name] = v.messages
		}
		if v.bytes > 0 {
			f.MessageBytes[operations[i].name] = v.bytes
		}
	}
	f.RegisteredNames, f.Spawned = a.names.tell(), a.spawned.tell()
	for by := range a.calls {
		for i, w := range a.calls[by].names {
			if f.Calls == nil {
				f.Calls = make(map[Call]Uses)
			}
			c := &a.calls[by]
			f.Calls[Call{Means(by), w.text}] = Uses{c.counts[i], c.ends[i][0], c.ends[i][1]}
		}
	}
}
