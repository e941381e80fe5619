package link

// A rest is what remains of a packet after the headers read so far.
type rest struct {
	// b holds the captured bytes.
	b []byte
	// wire is the number of bytes there were on the wire. It is never below
	// len(b); above it, the capture cut the packet.
	wire int
}

// take consumes a header of n bytes that belongs to protocol p. The reason is
// found (zero) if the bytes are there.
func (r *rest) take(n int, p protocol) ([]byte, reason) {
	if len(r.b) < n {
		return nil, r.short(n, p)
	}
	h := r.b[:n]
	r.b = r.b[n:]
	r.wire -= n
	return h, found
}

// short says why n bytes are not there: the capture cut them, or the packet
// never had them.
func (r *rest) short(n int, p protocol) reason {
	if r.wire >= n {
		return reasonSnapped
	}
	return malformed(p)
}

// refused says why gopacket could not decode a header, which has up to n bytes.
func (r *rest) refused(n int, p protocol) reason {
	if len(r.b) < n && len(r.b) < r.wire {
		return reasonSnapped
	}
	return malformed(p)
}

// limit says that n bytes were on the wire, according to a length field. What
// is behind them is padding or a frame check sequence. If the packet has fewer
// bytes, the missing ones count as cut.
func (r *rest) limit(n int) {
	r.wire = n
	if len(r.b) > n {
		r.b = r.b[:n]
	}
}
