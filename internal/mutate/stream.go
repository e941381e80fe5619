package mutate

// Resegment splits every TCP payload into segments of at most n bytes. The
// pieces of one segment have its time and acknowledgement; PSH and FIN are on
// the last piece only. Segments with SYN, and those not captured whole, stay.
func Resegment(packets []Packet, n int) []Packet {
	var out []Packet
	for _, p := range packets {
		f, ok := parse(p)
		if !ok || !f.whole() || f.length <= n || f.flags()&flagSYN != 0 {
			out = append(out, p)
			continue
		}
		out = append(out, f.split(n)...)
	}
	return out
}

func (f *frame) split(n int) []Packet {
	var out []Packet
	for from := 0; from < f.length; from += n {
		to := min(from+n, f.length)
		header := f.header()
		put32(header, 4, f.seq()+uint32(from))
		if to < f.length {
			header[13] &^= flagFIN | flagPSH
		}
		out = append(out, f.with(header, f.data()[from:to]))
	}
	return out
}

// Coalesce merges segments that follow each other, in the capture and in their
// stream, into one of up to 64 kB, as generic receive offload does. The merged
// packet has the time of its first and the acknowledgement of its last part.
func Coalesce(packets []Packet) []Packet {
	var out []Packet
	var last frame // that of out's last packet, if open
	var open bool
	for _, p := range packets {
		f, ok := parse(p)
		if open && ok && f.continues(&last) {
			out[len(out)-1] = last.join(&f)
		} else {
			out = append(out, p)
		}
		last, open = parse(out[len(out)-1])
	}
	return out
}

// continues reports whether f may be merged into last.
func (f *frame) continues(last *frame) bool {
	const never = flagSYN | flagRST | flagURG
	return f.src == last.src && f.dst == last.dst &&
		len(f.layers) == len(last.layers) &&
		f.whole() && last.whole() && f.length > 0 && last.length > 0 &&
		f.seq() == last.seq()+uint32(last.length) &&
		f.flags()&never == 0 && last.flags()&(never|flagFIN) == 0 &&
		last.end-last.layers[0].offset+f.length <= maxEnclosed
}

func (f *frame) join(next *frame) Packet {
	header := f.header()
	header[13] |= next.flags()
	put32(header, 8, next.ack())
	return f.with(header, append(f.data()[:f.length:f.length], next.data()...))
}

// firstWrapped is the sequence number of a stream's first byte after [Wrap]:
// fifty bytes later they start over at zero.
const firstWrapped = 1<<32 - 50

// Wrap shifts the sequence numbers of both directions of every connection, and
// the acknowledgements and SACK blocks that name them, so that each crosses
// 2^32 within the first hundred bytes that were captured of it. If the ports
// are used again, the later connections are shifted as the first one, so that
// they stay as far apart as they were.
func Wrap(packets []Packet) []Packet {
	shifts := map[[2]string]uint32{} // by source and destination
	out := make([]Packet, 0, len(packets))
	for _, p := range packets {
		f, ok := parse(p)
		if !ok {
			out = append(out, p)
			continue
		}
		flow, reverse := [2]string{f.src, f.dst}, [2]string{f.dst, f.src}
		f.learn(flow, reverse, shifts)
		out = append(out, f.withHeader(f.shifted(shifts[flow], shifts[reverse])))
	}
	return out
}

// learn decides by how much to shift both directions when it first sees them.
func (f *frame) learn(flow, reverse [2]string, shifts map[[2]string]uint32) {
	// The sequence number of a RST may be made up (RFC 9293, Section 3.5.2),
	// so nothing follows from it.
	if f.flags()&flagRST != 0 {
		return
	}
	first := f.seq()
	if f.flags()&flagSYN != 0 {
		first++
	}
	if _, ok := shifts[flow]; !ok {
		shifts[flow] = firstWrapped - first
	}
	if _, ok := shifts[reverse]; !ok && f.flags()&flagACK != 0 {
		shifts[reverse] = firstWrapped - f.ack()
	}
}

// shifted returns the TCP header with its own sequence number and those that
// name the peer's bytes shifted.
func (f *frame) shifted(own, peer uint32) []byte {
	const sack = 5 // RFC 2018, Section 3: pairs of left and right edges
	header := f.header()
	put32(header, 4, f.seq()+own)
	if f.flags()&flagACK != 0 {
		put32(header, 8, f.ack()+peer)
	}
	eachOption(header, func(kind byte, value []byte) {
		for ; kind == sack && len(value) >= 4; value = value[4:] {
			put32(value, 0, be32(value, 0)+peer)
		}
	})
	return header
}
