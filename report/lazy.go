package report

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"

	"distproof/capture"
	"distproof/decode"
	"distproof/verify"
)

// A Lazy is a document whose connections are made each time they are written: of a
// million connections, what a document says takes as much memory as all that is
// known of them.
type Lazy struct {
	// Document has everything but the connections.
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

// OneByOne reports whether a format has the connections one after the other, so
// that they need not all be there.
func OneByOne(format string) bool {
	return slices.Contains([]string{"json", "ndjson", "csv"}, format)
}

// Render writes what [Render] would of the whole document, in a format that is
// [OneByOne].
func (l *Lazy) Render(w io.Writer, format string) error {
	doc, connections := legible(l.Document), list{len(l.builder.capture.Connections), l.legible}
	switch format {
	case "json":
		return writeDocument(w, doc, connections)
	case "ndjson":
		return writeNDJSON(w, doc, connections)
	case "csv":
		return writeCSV(w, doc, connections)
	}
	return fmt.Errorf("format %q needs all connections at once", format)
}

// connection makes the connection at a place.
func (l *Lazy) connection(i int) Connection {
	c := l.builder.connection(i)
	l.likely.name(&c)
	return c
}

// legible is connection, as [legible] has it.
func (l *Lazy) legible(i int) *Connection {
	m := l.menders.Get().(*mender)
	defer l.menders.Put(m)
	c := l.connection(i)
	if v, changed := m.mend(reflect.ValueOf(&c).Elem()); changed {
		c = v.Interface().(Connection)
	}
	return &c
}

// A list has the connections of a document. Several goroutines may ask for them.
type list struct {
	n  int
	at func(int) *Connection
}

func (d *Document) list() list {
	return list{len(d.Connections), func(i int) *Connection { return &d.Connections[i] }}
}
