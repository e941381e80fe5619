package link

import (
	"fmt"
	"slices"
	"sync"
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

// encapsulations numbers paths.
type encapsulations struct {
	tree *tree
	// last is the path looked up last: most packets repeat it.
	last      path
	lastIndex uint16
	// known are edges of the tree that were looked up by a [Decoder.Ahead], which
	// adds none to it; nil for others.
	known map[edge]uint16
}

// A tree has all paths, in the order in which they were first seen. A path's
// number is found by walking it from the outermost layer, so that neither the
// lookup nor a repetition allocates. Numbers do not change.
type tree struct {
	mu       sync.Mutex
	children map[edge]uint16
	names    [][]string
}

// An edge leads from a path to the one with a further layer inside.
type edge struct {
	parent uint16
	layer  layer
}

const (
	// otherEncapsulation stands for all paths above the limit.
	otherEncapsulation = 1
	// unknownEncapsulation stands for those that are not in the tree.
	unknownEncapsulation = MaxEncapsulations
)

func newEncapsulations() encapsulations {
	return encapsulations{tree: &tree{
		children: make(map[edge]uint16),
		names:    [][]string{{}, {"other"}},
	}}
}

// ahead returns encapsulations that are in the same tree.
func (e *encapsulations) ahead() encapsulations {
	return encapsulations{tree: e.tree, known: make(map[edge]uint16)}
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
		if i = e.child(edge{i, l}); i == unknownEncapsulation {
			return i
		}
		if i == otherEncapsulation {
			break
		}
	}
	e.last, e.lastIndex = *p, i
	return i
}

func (e *encapsulations) child(at edge) uint16 {
	if e.known == nil {
		return e.tree.child(at, true)
	}
	i, ok := e.known[at]
	if !ok {
		if i = e.tree.child(at, false); i != otherEncapsulation && i != unknownEncapsulation {
			e.known[at] = i
		}
	}
	return i
}

// child returns the number at the end of an edge, which it may add.
func (t *tree) child(at edge, add bool) uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.children[at]
	switch {
	case ok:
		return i
	case len(t.names) == MaxEncapsulations:
		return otherEncapsulation
	case !add:
		return unknownEncapsulation
	}
	i = uint16(len(t.names))
	outer := t.names[at.parent]
	t.names = append(t.names, append(outer[:len(outer):len(outer)], at.layer.String()))
	t.children[at] = i
	return i
}

func (e *encapsulations) texts(i uint16) []string {
	if int(i) >= len(e.tree.names) {
		i = otherEncapsulation
	}
	return e.tree.names[i]
}
