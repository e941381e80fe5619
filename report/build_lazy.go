package report

import (
	"fmt"
	"io"
	"reflect"
	"sync"

	"distproof/capture"
	"distproof/decode"
	"distproof/verify"
)

// A Lazy is a document whose connections and findings are made each time they are
// written: of a million connections, what a document says takes as much memory as
// all that is known of them.
type Lazy struct {
	// Document has everything but the connections and the findings.
	Document *Document
	builder  *builder
	likely   likely
	menders  sync.Pool
}

// NewLazy is [New], for formats that are [OneByOne].
func NewLazy(tool Tool, inputs []capture.Input, undecoded []map[string]uint64, c *decode.Capture, j *verify.Judgement) *Lazy {
	b := newBuilder(c, j)
	l := &Lazy{
		Document: b.head(tool, inputs, undecoded), builder: b,
		menders: sync.Pool{New: func() any { return newMender() }},
	}
	l.likely = newLikely(l.Document.Nodes)
	var edges edges
	some := make([]Connection, min(len(c.Connections), 64*chunk))
	for from := 0; from < len(c.Connections); from += len(some) {
		n := min(len(some), len(c.Connections)-from)
		inParallel(n, func(i int) { some[i] = l.connection(from + i) })
		for i := range n {
			l.Document.Summary.add(&some[i])
			edges.add(&some[i])
		}
	}
	l.Document.Edges = edges.all()
	l.Document.Mesh = newMesh(l.Document)
	return l
}

// oneByOne has what writes a document with the connections and findings of lists, by
// the name of the format.
var oneByOne = map[string]func(io.Writer, *Document, lists) error{
	"json": writeDocument, "ndjson": writeNDJSON, "csv": writeCSV,
}

// OneByOne reports whether a format has the connections one after the other, so
// that they need not all be there.
func OneByOne(format string) bool { return oneByOne[format] != nil }

// Render writes what [Render] would of the whole document, in a format that is
// [OneByOne].
func (l *Lazy) Render(w io.Writer, format string) error {
	write, ok := oneByOne[format]
	if !ok {
		return fmt.Errorf("format %q needs all connections at once", format)
	}
	doc, all := legible(l.Document), lists{
		list[Connection]{len(l.builder.capture.Connections), func(i int) *Connection { return legibly(l, l.connection(i)) }},
		list[Finding]{len(l.builder.judgement.Findings), func(i int) *Finding {
			return legibly(l, l.builder.finding(l.builder.judgement.Findings[i], l.builder.id))
		}},
	}
	return write(w, doc, all)
}

// connection makes the connection at a place.
func (l *Lazy) connection(i int) Connection {
	c := l.builder.connection(i)
	l.likely.name(&c)
	return c
}

// legibly returns x as [legible] has it.
func legibly[T any](l *Lazy, x T) *T {
	m := l.menders.Get().(*mender)
	defer l.menders.Put(m)
	if v, changed := m.mend(reflect.ValueOf(&x).Elem()); changed {
		x = v.Interface().(T)
	}
	return &x
}

// A list has those of a document, all at once or made when they are asked for, by
// several goroutines.
type list[T any] struct {
	n  int
	at func(int) *T
}

func listOf[T any](all []T) list[T] { return list[T]{len(all), func(i int) *T { return &all[i] }} }

func (l list[T]) len() int                  { return l.n }
func (l list[T]) value(i int) reflect.Value { return reflect.ValueOf(l.at(i)).Elem() }

// lists are the parts of a document that may be large.
type lists struct {
	connections list[Connection]
	findings    list[Finding]
}

func (d *Document) lists() lists { return lists{listOf(d.Connections), listOf(d.Findings)} }
