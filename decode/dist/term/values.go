package term

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// string prints a list of bytes.
func (p *printer) string() bool {
	p.c.Byte()
	b := p.c.take(p.c.uint16())
	switch {
	case !p.c.OK():
	case isText(b):
		return p.quoted(b, `"`, `"`)
	case len(b) <= maxShownList:
		p.write("[")
		for i, x := range b {
			if i > 0 {
				p.write(",")
			}
			p.int(int64(x))
		}
		p.write("]")
	default:
		p.omit("[" + ellipsis + "]")
	}
	return false
}

func (p *printer) binary() bool {
	p.c.Byte()
	n := p.c.size()
	b := p.c.take(n)
	switch {
	case p.c.OK() && n == 0:
		p.write("<<>>")
	case p.c.OK() && isText(b):
		return p.quoted(b, `<<"`, `">>`)
	default:
		p.write("<<_:")
		p.uint(8 * uint64(n))
		p.omit(">>")
	}
	return false
}

// quoted prints a text, unless it may be secret.
func (p *printer) quoted(b []byte, open, end string) bool {
	if mayBeSecret(b) {
		p.omit(hidden)
		return MayNameSecret(b)
	}
	p.write(open)
	n := min(len(b), maxText)
	for n < len(b) && n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	p.escaped(b[:n], '"')
	if n < len(b) {
		p.omit(ellipsis)
	}
	p.write(end)
	return MayNameSecret(b)
}

// escaped prints a text so that it cannot leave its quotes nor act on a
// terminal.
func (p *printer) escaped(b []byte, quote rune) {
	for _, r := range string(b) {
		switch {
		case r == quote || r == '\\':
			p.out = append(p.out, '\\', byte(r))
		case r == '\n':
			p.write(`\n`)
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			p.write(`\x{`)
			p.out = strconv.AppendInt(p.out, int64(r), 16)
			p.write("}")
		default:
			p.out = utf8.AppendRune(p.out, r)
		}
	}
}

// isText reports whether b is text that a person would read.
func isText(b []byte) bool {
	if len(b) == 0 || !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !shown(r) {
			return false
		}
	}
	return true
}

func shown(r rune) bool {
	return r == '\n' || r == '\r' || r == '\t' || r != utf8.RuneError && unicode.IsGraphic(r)
}

func (p *printer) atom(a Atom) {
	switch {
	case !a.Known:
		p.omit("?")
	case plainAtom(a.Text):
		p.out = append(p.out, a.Text...)
	default:
		p.write("'")
		p.escaped(a.Text, '\'')
		p.write("'")
	}
}

// plainAtom reports whether an atom needs no quotes.
func plainAtom(b []byte) bool {
	for i, x := range b {
		if !alphanumeric(x) && x != '_' && x != '@' || i == 0 && !isLower(x) {
			return false
		}
	}
	return len(b) > 0
}

// big prints an integer of up to 64 bits; longer ones are keys, as a rule.
func (p *printer) big() {
	n := 0
	if p.c.Byte() == SmallBig {
		n = int(p.c.Byte())
	} else {
		n = p.c.size()
	}
	sign := p.c.Byte()
	digits := p.c.take(n)
	if !p.c.OK() {
		return
	}
	if n > 8 {
		p.omit(hidden)
		return
	}
	var x uint64
	for i, d := range digits {
		x |= uint64(d) << (8 * i)
	}
	if sign != 0 {
		p.write("-")
	}
	p.uint(x)
}

func (p *printer) float() {
	x := math.NaN()
	if p.c.Byte() == NewFloat {
		x = math.Float64frombits(p.c.Uint64())
	} else if b := p.c.take(floatText); b != nil {
		text, _, _ := strings.Cut(string(b), "\x00")
		if y, err := strconv.ParseFloat(text, 64); err == nil {
			x = y
		}
	}
	if !p.c.OK() {
		return
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		p.omit(ellipsis)
		return
	}
	text := strconv.FormatFloat(x, 'g', -1, 64)
	if mantissa, exponent, ok := strings.Cut(text, "e"); !strings.Contains(mantissa, ".") {
		text = mantissa + ".0"
		if ok {
			text += "e" + exponent
		}
	}
	p.write(text)
}

// export prints fun M:F/A.
func (p *printer) export() {
	p.c.Byte()
	module, _ := p.c.Atom()
	function, _ := p.c.Atom()
	arity, ok := p.c.Int()
	if !ok {
		return
	}
	p.write("fun ")
	p.atom(module)
	p.write(":")
	p.atom(function)
	p.write("/")
	p.int(int64(arity))
}

// fun prints where a fun is from. Its free variables are passed over.
func (p *printer) fun() {
	before := p.c
	if before.Byte() == NewFun {
		before.openFun()
	} else {
		before.uint32()
		before.Skip(1) // pid
	}
	module, ok := before.Atom()
	if !p.c.Skip(1) || !ok {
		return
	}
	p.write("#Fun<")
	p.atom(module)
	p.omit(">")
}

// identifier prints a pid, port or reference.
func (p *printer) identifier() {
	tag := p.c.Byte()
	words := 1
	name := "#Port<"
	switch tag {
	case Pid, NewPid:
		name = "<"
	case NewReference, NewerReference:
		words, name = p.c.uint16(), "#Ref<"
	case Reference:
		name = "#Ref<"
	}
	node, ok := p.c.Atom()
	if !ok {
		return
	}
	p.write(name)
	p.atom(node)
	switch tag {
	case NewReference:
		p.c.skip(1)
	case NewerReference:
		p.c.skip(4)
	}
	switch tag {
	case Pid, NewPid:
		words = 2
	case V4Port:
		words = 0
		p.write(".")
		p.uint(p.c.Uint64())
	}
	for range words {
		p.write(".")
		p.uint(uint64(p.c.uint32()))
		if p.full() || !p.c.OK() {
			return
		}
	}
	switch tag {
	case Pid, Port, Reference:
		p.c.skip(1)
	case NewPid, NewPort, V4Port:
		p.c.skip(4)
	}
	p.write(">")
}
