package link

import (
	"fmt"
	"slices"
)

// maxDepth limits how many VLAN tags, labels and tunnels may surround a segment.
// Real networks stay below six; without a limit, a hostile packet of 64 KiB
// could nest thousands.
const maxDepth = 16

// MaxEncapsulations limits how many different encapsulations are told apart.
// A capture at a virtual switch may show thousands of VXLAN networks; a hostile
// one could show 2^24.
const MaxEncapsulations = 4096

// A layer is one VLAN tag, label or tunnel: its kind in the upper 32 bits, and
// its number in the lower ones.
type layer uint64

// The kinds of layers.
const (
	layerVLAN layer = iota << 32
	layerMPLS
	layerPseudowire
	layerPPPoE
	layerVXLAN
	layerGeneve
	layerGTP
	layerGRE
	layerGREKey
	layerGRETAP
	layerGRETAPKey
	layerERSPAN
	layerERSPAN1
	layerEtherIP
	layerIPIP
	layer6in4
	layer4in6
	layer6in6
	layerMask layer = 0xffff << 32
)

// String returns the stable text of l.
func (l layer) String() string {
	n := uint32(l)
	switch l & layerMask {
	case layerVLAN:
		return fmt.Sprintf("vlan %d", n)
	case layerMPLS:
		return fmt.Sprintf("mpls %d", n)
	case layerPseudowire:
		return "pseudowire"
	case layerPPPoE:
		return fmt.Sprintf("pppoe %d", n)
	case layerVXLAN:
		return fmt.Sprintf("vxlan %d", n)
	case layerGeneve:
		return fmt.Sprintf("geneve %d", n)
	case layerGTP:
		return fmt.Sprintf("gtp-u %d", n)
	case layerGRE:
		return "gre"
	case layerGREKey:
		return fmt.Sprintf("gre key %d", n)
	case layerGRETAP:
		return "gretap"
	case layerGRETAPKey:
		return fmt.Sprintf("gretap key %d", n)
	case layerERSPAN:
		return fmt.Sprintf("erspan %d", n)
	case layerERSPAN1:
		return "erspan"
	case layerEtherIP:
		return "etherip"
	case layerIPIP:
		return "ipip"
	case layer6in4:
		return "6in4"
	case layer4in6:
		return "4in6"
	case layer6in6:
		return "6in6"
	default:
		return "other"
	}
}

// A path is what surrounds a segment, outermost first.
type path struct {
	layers [maxDepth]layer
	n      int
}

func (p *path) push(l layer) reason {
	if p.n == maxDepth {
		return reasonTooDeep
	}
	p.layers[p.n] = l
	p.n++
	return found
}

// encapsulations numbers paths. A path's number is found by walking a tree from
// its outermost layer, so that neither the lookup nor a repetition allocates.
type encapsulations struct {
	children map[edge]uint16
	names    [][]string
	// last is the path looked up last: most packets repeat it.
	last      path
	lastIndex uint16
}

// An edge leads from a path to the one with a further layer inside.
type edge struct {
	parent uint16
	layer  layer
}

// otherEncapsulation stands for all paths above the limit.
const otherEncapsulation = 1

func newEncapsulations() encapsulations {
	return encapsulations{
		children: make(map[edge]uint16),
		names:    [][]string{{}, {"other"}},
	}
}

func (e *encapsulations) index(p *path) uint16 {
	if p.n == 0 {
		return 0
	}
	if slices.Equal(p.layers[:p.n], e.last.layers[:e.last.n]) {
		return e.lastIndex
	}
	i := uint16(0)
	for _, l := range p.layers[:p.n] {
		if i = e.child(i, l); i == otherEncapsulation {
			break
		}
	}
	e.last, e.lastIndex = *p, i
	return i
}

func (e *encapsulations) child(parent uint16, l layer) uint16 {
	key := edge{parent, l}
	if i, ok := e.children[key]; ok {
		return i
	}
	if len(e.names) == MaxEncapsulations {
		return otherEncapsulation
	}
	i := uint16(len(e.names))
	outer := e.names[parent]
	e.names = append(e.names, append(outer[:len(outer):len(outer)], l.String()))
	e.children[key] = i
	return i
}

func (e *encapsulations) texts(i uint16) []string {
	if int(i) >= len(e.names) {
		i = otherEncapsulation
	}
	return e.names[i]
}
