package mutate

import "slices"

// ipv4Options adds options to the packet's own header: Router Alert (RFC 2113)
// and padding.
func ipv4Options(u unit) []unit {
	options := []byte{0x94, 4, 0, 0, 1, 1, 1, 0}
	end := ipv4HeaderLength(u.data)
	if !u.isIPv4() || end+len(options) > 60 {
		return []unit{u}
	}
	data := slices.Concat(u.data[:end], options, u.data[end:])
	data[0] += byte(len(options) / 4)
	u.data = data
	put16(u.data, 2, u.length())
	sealIPv4(u.data)
	return []unit{u}
}

// ipv6Extensions adds extension headers to the packet's own header (RFC 8200,
// Section 4): hop-by-hop options, a routing header that has been used up, and
// destination options.
func ipv6Extensions(u unit) []unit {
	if !u.isIPv6() {
		return []unit{u}
	}
	extensions := []byte{
		protoRouting, 0, // next, length in 8 bytes less 1
		1, 4, 0, 0, 0, 0, // PadN
		protoDestOptions, 2,
		4, 0, // segment routing (RFC 8754), no segments left
		0, 0, 0, 0, // last entry, flags, tag
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		u.data[6], 1,
		1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // PadN
	}
	u.data = slices.Concat(u.data[:ipv6Header], extensions, u.data[ipv6Header:])
	u.data[6] = protoHopByHop
	put16(u.data, 4, u.length()-ipv6Header)
	return []unit{u}
}

// fragments splits an IP packet into three (RFC 791, Section 3.2; RFC 8200,
// Section 4.5), in order or in reverse.
func fragments(reverse bool) wrap {
	return func(u unit) []unit {
		header := ipv6Header
		if u.isIPv4() {
			header = ipv4HeaderLength(u.data)
		}
		// Fragments begin at multiples of 8 bytes.
		size := ((len(u.data)-header+2)/3 + 7) &^ 7
		if u.missing > 0 || size == 0 || u.isFragment() {
			return []unit{u} // what was not captured cannot be split
		}
		var out []unit
		for from := header; from < len(u.data); from += size {
			to := min(from+size, len(u.data))
			out = append(out, u.fragment(header, from, to))
		}
		if reverse {
			slices.Reverse(out)
		}
		return out
	}
}

// fragment returns the part of u from one offset to another, behind u's header.
func (u unit) fragment(header, from, to int) unit {
	offset, more := from-header, 0
	if to < len(u.data) {
		more = 1
	}
	part := u
	if u.isIPv4() {
		part.data = slices.Concat(u.data[:header], u.data[from:to])
		put16(part.data, 2, len(part.data))
		put16(part.data, 6, more<<13|offset/8)
		if be16(part.data, 4) == 0 {
			// Only packets that are never fragmented may go without a number
			// (RFC 6864, Section 4.1).
			put16(part.data, 4, int(identification(u.data)&0xffff))
		}
		sealIPv4(part.data)
		return part
	}
	id := make([]byte, 4)
	put32(id, 0, identification(u.data))
	part.data = slices.Concat(u.data[:header],
		[]byte{u.data[6], 0}, word(offset|more), id, u.data[from:to])
	part.data[6] = protoFragment
	put16(part.data, 4, len(part.data)-ipv6Header)
	return part
}

// identification numbers packets that have no number of their own to keep. It
// is made of the bytes (FNV-1a), so that copies of a packet have the same.
func identification(data []byte) uint32 {
	hash := uint32(2166136261)
	for _, b := range data {
		hash = (hash ^ uint32(b)) * 16777619
	}
	return hash
}
