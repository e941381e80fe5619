package dist

import (
	"distproof/decode/pack"
	"distproof/decode/tcp"
)

// AtRest reports whether s can be packed: nothing in it waits to be confirmed.
func (s *Stream) AtRest() bool { return s.candidate == nil }

// Pack packs what is known of a stream at rest, or restores it in one that is new
// or was at rest itself, whose room it uses. t are the tables that the stream which is
// packed was made with.
func (s *Stream) Pack(p *pack.Packer, t *Tables) {
	if p.Reading() {
		d := &s.dec
		*d = decoder{tables: t, cache: d.cache, refs: d.refs, inflated: d.inflated, more: d.more}
		s.buf.reset()
		*s = Stream{buf: s.buf, dec: s.dec, activity: s.activity, search: s.search, work: s.work}
	}
	f := &s.facts
	s.packSaying(p, t)
	pack.Pair(p, &s.state, &s.after)
	active, searches, ticks, collects, rare := s.activity != nil, s.search != nil, f.Ticks.Count > 0, len(s.buf.b) > 0, s.rare()
	p.Flags(&s.resume, &s.tentative, &f.Connected, &active, &searches, &ticks, &collects, &rare)
	f.First.Pack(p)
	s.packPlaces(p)
	f.Handshake.pack(p)
	pack.Int(p, &f.Bytes)
	if active {
		f.FirstMessage.Pack(p)
		pack.Uint(p, &f.PayloadBytes)
		pack.Uint(p, &f.LargestMessage)
	}
	pack.If(p, active, &s.activity, func(a *activity, p *pack.Packer) { a.pack(p, t) })
	if active {
		f.LastMessage.Pack(p)
	}
	if ticks {
		f.Ticks.pack(p)
	}
	s.dec.cache.pack(p, t)
	pack.If(p, searches, &s.search, (*search).pack)
	if collects {
		s.packCollected(p)
	}
	if rare {
		s.packRare(p)
	}
}

// packPlaces packs where things began that in most streams are the first, or not
// there.
func (s *Stream) packPlaces(p *pack.Packer) {
	f, h := &s.facts, &s.facts.Handshake
	places := [...]*tcp.Position{&f.RecognisedAt, &s.since, &h.StatusAt, &h.NameAt}
	var first, other [len(places)]bool
	for i, at := range places {
		first[i] = *at == f.First
		other[i] = !first[i] && *at != tcp.Position{}
	}
	p.Flags(&first[0], &first[1], &first[2], &first[3], &other[0], &other[1], &other[2], &other[3])
	for i, at := range places {
		switch {
		case other[i]:
			at.Pack(p)
		case first[i]:
			*at = f.First
		default:
			*at = tcp.Position{}
		}
	}
}

// packCollected packs the message that is being read.
func (s *Stream) packCollected(p *pack.Packer) {
	p.Bytes(&s.buf.b)
	pack.Slice(p, &s.buf.marks, (*mark).pack)
	pack.Int(p, &s.want)
	p.Flags(&s.dec.show)
}

// rare reports whether there is anything to pack that most streams do not have.
func (s *Stream) rare() bool {
	f, h := &s.facts, &s.facts.Handshake
	return s.remaining != 0 || s.rescan != 0 || s.dec.expanded != 0 || s.ended || f.Foreign || f.GaveUp || f.InFrame ||
		h.GivenName != "" || h.GivenCreation != 0 || f.Missing != 0 || len(f.Payloads) > 0 ||
		f.Unnamed|f.UnnamedCalls|f.Fragments|f.LostFragments|f.Compressed|f.PassThrough != 0
}

func (s *Stream) packRare(p *pack.Packer) {
	f, h := &s.facts, &s.facts.Handshake
	pack.Int(p, &s.remaining)
	pack.Int(p, &s.rescan)
	pack.Int(p, &s.dec.expanded)
	p.Flags(&s.ended, &f.Foreign, &f.GaveUp, &f.InFrame)
	f.ForeignAt.Pack(p)
	p.Text(&h.GivenName)
	pack.Uint32(p, &h.GivenCreation)
	pack.Int(p, &f.Missing)
	pack.Slice(p, &f.Payloads, (*Payload).pack)
	for _, n := range []*uint64{&f.Unnamed, &f.UnnamedCalls, &f.Fragments, &f.LostFragments, &f.Compressed, &f.PassThrough} {
		pack.Uint(p, n)
	}
}

// A saying is what a node says of itself in each of its handshakes, and what is
// known by that.
type saying struct {
	options     Options
	prefix      int
	recognition Recognition
	role        Role
	evidence    string
	handshake   Handshake // without what is new in each
	number      uint32    // in Tables.sayings
}

// packSaying packs what s has in common with others. It comes before the rest of the
// handshake.
func (s *Stream) packSaying(p *pack.Packer, t *Tables) {
	if p.Reading() {
		var x *saying
		if t.sayings.Pack(p, &x, 0) == 0 {
			s.packSaid(p)
			return
		}
		f := &s.facts
		s.options, s.prefix, f.Recognition, f.Role, f.RoleEvidence, f.Handshake = x.options, x.prefix, x.recognition, x.role, x.evidence, x.handshake
		return
	}
	from := len(p.Packed())
	s.packSaid(p)
	x := t.sayings.Numbered(p.Packed()[from:], s.saying)
	p.Fold(from, x.number)
}

func (s *Stream) packSaid(p *pack.Packer) {
	f, h := &s.facts, &s.facts.Handshake
	p.Flags(&s.options.Payload, &h.NameIsHost, &h.Complement, &h.Challenged, &h.Proved, &h.Reply, &h.Ack)
	pack.Int(p, &s.prefix)
	pack.Pair(p, &f.Recognition, &f.Role)
	p.Text(&f.RoleEvidence)
	pack.Int(p, &h.Version)
	p.Text(&h.Name)
	p.Bytes(&h.RawName)
	pack.Uint(p, &h.Flags)
	pack.Uint32(p, &h.Creation)
	p.Text(&h.Status)
	p.Text(&h.StatusReply)
}

func (s *Stream) saying(number uint32) *saying {
	f, h := &s.facts, s.facts.Handshake
	h.NameAt, h.StatusAt, h.DigestAt, h.Challenge, h.Digest = tcp.Position{}, tcp.Position{}, tcp.Position{}, 0, [16]byte{}
	h.GivenName, h.GivenCreation = "", 0
	return &saying{s.options, s.prefix, f.Recognition, f.Role, f.RoleEvidence, h, number}
}

// packWord packs a word by its number, or as a whole if it has none. One that is
// empty becomes nil.
func packWord(p *pack.Packer, t *Tables, w **word) {
	number, text := uint32(0), ""
	if *w != nil {
		number, text = (*w).number, (*w).text
	}
	if t.words.Pack(p, w, number) > 0 {
		return
	}
	if p.Text(&text); p.Reading() && text != "" {
		*w = &word{text: text}
	}
}

// pack packs what is new in every handshake.
func (h *Handshake) pack(p *pack.Packer) {
	h.DigestAt.Pack(p)
	if h.Challenged {
		pack.Uint32(p, &h.Challenge)
	}
	if h.Proved {
		p.Fixed(h.Digest[:])
	}
}

func (t *Ticks) pack(p *pack.Packer) {
	pack.Uint(p, &t.Count)
	t.First.Pack(p)
	if t.Last.Pack(p); t.Count < 2 {
		return
	}
	pack.Int(p, &t.MinSpacing)
	spread := t.MaxSpacing - t.MinSpacing
	pack.Int(p, &spread)
	t.MaxSpacing = t.MinSpacing + spread
}

func (x *Payload) pack(p *pack.Packer) {
	x.At.Pack(p)
	p.Text(&x.Operation)
	p.Text(&x.Name)
	pack.Uint8(p, &x.Call.Means)
	p.Text(&x.Call.Function)
	p.Text(&x.Text)
	p.Flags(&x.Whole)
}

func (m *mark) pack(p *pack.Packer) {
	pack.Int(p, &m.i)
	m.at.Pack(p)
}

func (c *atomCache) pack(p *pack.Packer, t *Tables) {
	n := p.Length(len(c.keys))
	if p.Reading() {
		*c = atomCache{keys: pack.Resized(p, c.keys, n), entries: pack.Resized(p, c.entries, n)}
	}
	for i := range c.keys {
		packEntry(p, t, &c.keys[i], &c.entries[i])
	}
	if p.Reading() {
		c.sum()
	}
}

// sum has the keys found, and counts the bytes of the entries.
func (c *atomCache) sum() {
	for _, e := range c.entries {
		if e != nil {
			c.bytes += len(e.text)
		}
	}
	if len(c.keys) > manyKeys {
		c.index = new([cacheSize]uint16)
		c.fillIndex()
	}
}

func packEntry(p *pack.Packer, t *Tables, slot *uint16, e **entry) {
	number := uint32(0)
	known := *e != nil
	if known {
		number = (*e).number
	}
	if t.entries.Pack(p, e, number) > 0 {
		*slot = (*e).slot
		return
	}
	pack.Uint(p, slot)
	if p.Flags(&known); !known {
		return
	}
	if p.Reading() {
		*e = &entry{slot: *slot}
	}
	p.Bytes(&(*e).text)
}

func (a *activity) pack(p *pack.Packer, t *Tables) {
	if p.Reading() {
		a.volumes = [len(operations)]volume{}
	}
	packVolumes(p, &a.volumes)
	pack.Uint8(p, &a.last.op)
	pack.Uint(p, &a.last.payload)
	pack.Uint(p, &a.last.largest)
	c := &a.calls
	some := [...]bool{len(a.sequences) > 0, a.names.any(), a.spawned.any(), c[BySpawn].any(), c[ByERPC].any(), c[ByRPC].any(), c[ByRequest].any()}
	p.Flags(&some[0], &some[1], &some[2], &some[3], &some[4], &some[5], &some[6])
	if some[0] {
		pack.Slice(p, &a.sequences, (*sequence).pack)
	} else {
		a.sequences = nil
	}
	a.names.pack(p, t, some[1])
	a.spawned.pack(p, t, some[2])
	for i := range c[BySpawn:] {
		c[BySpawn:][i].pack(p, t, some[3+i])
	}
}

func (q *sequence) pack(p *pack.Packer) {
	pack.Uint(p, &q.id)
	pack.Uint(p, &q.next)
	pack.Uint(p, &q.size)
	pack.Uint8(p, &q.op)
}

func (t *tally) any() bool { return len(t.names) > 0 }

func (t *tally) pack(p *pack.Packer, tables *Tables, any bool) {
	n := 0
	if any {
		n = p.Length(len(t.names))
	}
	if p.Reading() {
		*t = tally{names: pack.Resized(p, t.names, n), counts: pack.Resized(p, t.counts, n)}
	}
	for i := range t.names {
		packWord(p, tables, &t.names[i])
		pack.Uint(p, &t.counts[i])
	}
	if p.Reading() {
		t.sum()
	}
}

// sum has the names found, and counts their bytes.
func (t *tally) sum() {
	for i, w := range t.names {
		t.bytes += len(w.text)
		t.note(i)
	}
}

func (t *callTally) pack(p *pack.Packer, tables *Tables, any bool) {
	t.tally.pack(p, tables, any)
	t.ends = pack.Resized(p, t.ends, len(t.names))
	for i := range t.ends {
		t.ends[i][0].Pack(p)
		t.ends[i][1].Pack(p)
	}
}

// packVolumes packs those of the operations that came.
func packVolumes(p *pack.Packer, all *[len(operations)]volume) {
	n := 0
	for _, v := range all {
		if v != (volume{}) {
			n++
		}
	}
	op := uint8(0)
	for n = p.Length(n); n > 0; n-- {
		for !p.Reading() && all[op] == (volume{}) {
			op++
		}
		pack.Uint8(p, &op)
		pack.Uint(p, &all[op].messages)
		pack.Uint(p, &all[op].bytes)
		op++
	}
}

func (q *search) pack(p *pack.Packer) {
	if p.Reading() {
		*q = search{}
	}
	pack.Int(p, &q.n)
	p.Fixed(q.behind[:q.n])
	for i := range q.behindAt[:q.n] {
		q.behindAt[i].Pack(p)
	}
	pack.Int(p, &q.seen)
	r := &q.ticks
	pack.Int(p, &r.group)
	p.Flags(&r.open)
	r.last.Pack(p)
	r.count.pack(p)
	p.Offset(&r.end)
}
