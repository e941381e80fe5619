package term

import (
	"strconv"
	"unicode/utf8"
)

// Limits of a printed term.
const (
	// maxDepth bounds the nesting that is shown.
	maxDepth = 12
	// maxText bounds a text that is shown.
	maxText = 200
	// maxShownList is how many integers a list may have to be shown: longer
	// ones are data, or a text of some encoding.
	maxShownList = 8
	// maxLookahead bounds the list of integers that is taken for a text.
	maxLookahead = 64
)

const (
	ellipsis = "…"
	// hidden stands for what may be secret.
	hidden = `<<"…">>`
)

// Print writes the term at the beginning of b in Erlang's syntax, in at most
// limit bytes, and whether that is all of it. What looks like a secret, or
// stands behind a word that names one, is replaced by <<"…">>; with secret set,
// everything is. Binaries that are no text are written as the type <<_:N>> of
// their N bits, atoms that are not known as ?. All that is not graphic is
// escaped.
func Print(b []byte, atoms []Atom, limit int, secret bool) (text string, whole bool) {
	p := printer{c: NewCursor(b, atoms), limit: limit, whole: true}
	if secret {
		p.hide(1)
	} else {
		p.run()
	}
	return p.text()
}

type container uint8

const (
	inTuple container = iota
	inList
	inTail
	inMap
	inRecord
)

// A level is a container that is being printed.
type level struct {
	kind container
	left uint64 // terms that follow
	// begun says that something of it has been printed.
	begun bool
	// value says that the next term is the value of a map's key.
	value bool
	// secret says that what comes next belongs to a word that names a secret.
	secret bool
	// names are the names of a record's fields.
	names Cursor
}

type printer struct {
	c     Cursor
	out   []byte
	limit int
	whole bool
	stack [maxDepth]level
	depth int
}

func (p *printer) write(s string)     { p.out = append(p.out, s...) }
func (p *printer) int(n int64)        { p.out = strconv.AppendInt(p.out, n, 10) }
func (p *printer) uint(n uint64)      { p.out = strconv.AppendUint(p.out, n, 10) }
func (p *printer) full() bool         { return len(p.out) > p.limit }
func (p *printer) push(l level)       { p.stack[p.depth] = l; p.depth++ }
func (p *printer) top() *level        { return &p.stack[p.depth-1] }
func (p *printer) omit(s string)      { p.write(s); p.whole = false }
func (l *level) pairs() bool          { return l.kind == inMap }
func (p *printer) skip(n uint64) bool { return p.c.Skip(int(min(n, uint64(maxInt)))) }

// hide passes over n terms that may be secret.
func (p *printer) hide(n uint64) {
	p.skip(n)
	p.omit(hidden)
}

// text returns what was printed, cut to the limit.
func (p *printer) text() (string, bool) {
	if p.c.State() != OK {
		p.omit(ellipsis)
	}
	if !p.full() {
		return string(p.out), p.whole
	}
	n := max(0, p.limit-len(ellipsis))
	for n > 0 && !utf8.RuneStart(p.out[n]) {
		n--
	}
	return string(p.out[:n]) + ellipsis, false
}

// run prints one term.
func (p *printer) run() {
	p.term()
	for p.depth > 0 && p.c.OK() && !p.full() {
		l := p.top()
		if l.left == 0 {
			p.end(l)
			continue
		}
		p.separate(l)
		if l.secret && (!l.pairs() || l.value) {
			p.hideRest(l)
			continue
		}
		l.left--
		l.value = l.pairs() && !l.value
		// A deeper level may be pushed, which leaves l where it is.
		names := p.term()
		l.secret = names && l.kind != inRecord
	}
}

// hideRest hides a map's value, a record's value, or all that follows in a
// tuple or list.
func (p *printer) hideRest(l *level) {
	n := l.left
	if l.pairs() || l.kind == inRecord {
		n = 1
	}
	l.left -= n
	l.value = false
	p.hide(n)
}

// separate writes what stands between two terms.
func (p *printer) separate(l *level) {
	switch {
	case l.value:
		p.write(" => ")
	case l.kind == inTail:
		p.write("|")
	case l.begun:
		p.write(",")
	}
	l.begun = true
	if l.kind == inRecord {
		name, ok := l.names.Atom()
		if !ok {
			p.c.fail(Malformed)
			return
		}
		p.atom(name)
		p.write(" = ")
		l.secret = !name.Known || MayNameSecret(name.Text)
	}
}

// end closes a container, or goes on to the tail of a list.
func (p *printer) end(l *level) {
	switch l.kind {
	case inList:
		if p.c.Peek() != Nil {
			l.kind, l.left = inTail, 1
			return
		}
		p.c.Byte()
		p.write("]")
	case inTail:
		p.write("]")
	default:
		p.write("}")
	}
	p.depth--
}

// term prints a term that has no others in it, or opens one. It reports
// whether it was a word that names a secret.
func (p *printer) term() bool {
	switch tag := p.c.Peek(); tag {
	case AtomCacheRef, SmallAtomUTF8, SmallAtomLatin, AtomUTF8, AtomLatin1:
		a, ok := p.c.Atom()
		if !ok {
			return false
		}
		if a.Known && mayBeSecret(a.Text) {
			p.omit(hidden)
		} else {
			p.atom(a)
		}
		// An atom that is not known may be any.
		return !a.Known || MayNameSecret(a.Text)
	case SmallInteger, Integer:
		n, _ := p.c.Int()
		p.int(int64(n))
	case SmallBig, LargeBig:
		p.big()
	case NewFloat, Float:
		p.float()
	case Binary:
		return p.binary()
	case BitBinary:
		p.c.Byte()
		n, bits := p.c.size(), int(p.c.Byte())
		p.c.skip(n)
		p.write("<<_:")
		p.int(max(0, 8*int64(n)-8+int64(bits)))
		p.omit(">>")
	case String:
		return p.string()
	case Nil:
		p.c.Byte()
		p.write("[]")
	case Export:
		p.export()
	case NewFun, Fun:
		p.fun()
	case Pid, NewPid, Port, NewPort, V4Port, Reference, NewReference, NewerReference:
		p.identifier()
	case SmallTuple, LargeTuple, List, Map, Record:
		return p.container()
	default:
		p.c.Skip(1)
	}
	return false
}

// container opens a tuple, list, map or record.
func (p *printer) container() bool {
	if p.c.Peek() == List {
		if done, names := p.integers(); done {
			return names
		}
	}
	if p.depth == maxDepth {
		p.c.Skip(1)
		p.omit(ellipsis)
		return false
	}
	switch p.c.Byte() {
	case SmallTuple:
		p.write("{")
		p.push(level{kind: inTuple, left: uint64(p.c.Byte())})
	case LargeTuple:
		p.write("{")
		p.push(level{kind: inTuple, left: uint64(p.c.uint32())})
	case List:
		p.write("[")
		p.push(level{kind: inList, left: uint64(p.c.uint32())})
	case Map:
		p.write("#{")
		p.push(level{kind: inMap, left: 2 * uint64(p.c.uint32())})
	case Record:
		p.record()
	}
	return false
}

// record opens a native record: its module and name, then the names of all
// fields, then their values.
func (p *printer) record() {
	n := uint64(p.c.uint32())
	p.c.Byte() // flags
	module, _ := p.c.Atom()
	name, _ := p.c.Atom()
	if !p.c.OK() {
		return
	}
	p.write("#")
	p.atom(module)
	p.write(":")
	p.atom(name)
	p.write("{")
	names := p.c
	if p.skip(n) {
		p.push(level{kind: inRecord, left: n, names: names})
	}
}

// integers prints a list of nothing but integers, if that is what follows: as
// a text if it is one.
func (p *printer) integers() (done, names bool) {
	c := p.c
	n, _ := c.List()
	var text []byte
	isText := n <= maxLookahead
	for i := range min(n, maxLookahead) {
		if c.Peek() != SmallInteger && c.Peek() != Integer {
			return false, false
		}
		x, ok := c.Int()
		if !ok {
			break
		}
		isText = isText && shown(rune(x))
		if isText && i < maxLookahead {
			text = utf8.AppendRune(text, rune(x))
		}
	}
	if n == 0 || !isText && n <= maxShownList || c.OK() && n <= maxLookahead && c.Peek() != Nil {
		return false, false
	}
	if isText && c.OK() {
		c.Byte()
		p.c = c
		return true, p.quoted(text, `"`, `"`)
	}
	p.c.Skip(1)
	p.omit("[" + ellipsis + "]")
	return true, true
}
