package report

import (
	"slices"

	"distproof/capture"
	"distproof/decode"
	"distproof/verify"
)

// A Builder makes one document after another of the same connections, of which
// most are as they were: what it made of those it takes again. All documents are
// by the same policy. The zero Builder is ready for use, by one goroutine.
type Builder struct {
	last *Document
	// made says for the connections of last what they were made of.
	made []made
}

// made is what a connection of a document was made of, beside its facts.
type made struct {
	from       *decode.Connection
	ends       [2]decode.End
	protocol   decode.Protocol
	basis      []string
	roles      string
	resumed    string
	conclusion verify.Conclusion
	found      []string
}

// New is [New]. A connection whose facts are in the same place as before has the
// same facts, apart from those that connections tell of one another.
func (b *Builder) New(tool Tool, inputs []capture.Input, undecoded []map[string]uint64, c *decode.Capture, j *verify.Judgement) *Document {
	before := b.places(c)
	now := b.room(before)
	doc := newDocument(tool, inputs, undecoded, c, j, func(x *builder, i int) Connection {
		m, at := x.madeOf(i), before[i]
		if at >= 0 && b.made[at].same(&m) {
			if at != i || &now[i] != &b.made[i] {
				now[i] = b.made[at]
			}
			again := b.last.Connections[at]
			again.Client.LikelyNode, again.Server.LikelyNode = "", ""
			return again
		}
		m.basis = slices.Clone(m.basis)
		now[i] = m
		return x.connection(i)
	})
	b.last, b.made = doc, now
	return doc
}

// room returns where to write what connections are made of: that of the last document
// if all connections are in the same places, and others only behind them.
func (b *Builder) room(before []int) []made {
	for i := range b.made {
		if i >= len(before) || before[i] != i {
			return make([]made, len(before))
		}
	}
	return slices.Grow(b.made, len(before)-len(b.made))[:len(before)]
}

// places finds the connections in the last document; -1 for one that is not
// there. Both are in the order of their numbers.
func (b *Builder) places(c *decode.Capture) []int {
	out := make([]int, len(c.Connections))
	at := 0
	for i, x := range c.Connections {
		for at < len(b.made) && b.made[at].from.Number < x.Number {
			at++
		}
		if out[i] = -1; at < len(b.made) && b.made[at].from.Number == x.Number {
			out[i] = at
		}
	}
	return out
}

func (b *builder) madeOf(i int) made {
	c := b.capture.Connections[i]
	return made{c, c.Ends, c.Protocol, c.ProtocolBasis, c.RolesBasis, b.id(c.ResumedFrom), b.judgement.Conclusions[i], b.found.of(i)}
}

func (m *made) same(n *made) bool {
	return m.from == n.from && m.ends == n.ends && m.protocol == n.protocol && slices.Equal(m.basis, n.basis) && m.roles == n.roles &&
		m.resumed == n.resumed && m.conclusion == n.conclusion && slices.Equal(m.found, n.found)
}
