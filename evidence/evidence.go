// Package evidence hands the proof of a verdict to somebody who has neither the
// capture nor a reason to believe the report: for each distribution connection a
// small capture with the packets that the verdict was read from, and its facts.
//
// A bundle is checked before it is handed out: it is analysed by itself, and its
// facts say whether that gives the same verdict.
//
// The packets are found by reading the inputs once more. Of those chosen nothing
// but their place is kept in memory; they wait in a file until they are written
// connection by connection.
package evidence

import (
	"bytes"
	"context"
	"fmt"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/report"
)

// A Case is what is to be proven: a run's document, the facts that it was made
// of, and what was read.
type Case struct {
	Document *report.Document
	Facts    *decode.Capture
	Inputs   []capture.Input
	// SHA256 has the checksum of each input as it is on disk, "" if there is
	// none.
	SHA256 []string
	// Secrets is the key log that was used; nil if there was none.
	Secrets *secrets.Log
}

// Options say how bundles are made.
type Options struct {
	// IncludeSecrets puts the secrets of a TLS 1.3 handshake, and no others,
	// into its bundle.
	IncludeSecrets bool
	// Flags are those of distproof that a bundle is to be verified with.
	Flags []string
	Links link.Options
	// Reopen returns the inputs from their beginning. It is called once or twice;
	// an error of the source's [capture.Source] Close says that it was not what
	// was read before.
	Reopen func() (capture.Source, error)
	// Examine analyses a bundle, with the key log or only with what is in it.
	Examine func(src capture.Source, withKeyLog bool) (*report.Document, error)

	// testOnlyCutAll has no connection taken whole.
	testOnlyCutAll bool
}

// A Summary says what was written.
type Summary struct {
	Bundles int
	// Differ says for each bundle that does not give the verdict of the
	// original what it gives.
	Differ []string
	// NeedKeyLog counts the bundles that give the same only with the key log.
	NeedKeyLog int
}

// Limits of what a bundle takes from one connection, in bytes of packets.
const (
	// small is the size of a connection, in bytes of its streams, that is taken
	// whole.
	small = 64 << 10
	// narrow bounds the packets that a verdict is read from. The longest
	// handshakes, with their retransmissions, take a tenth of it.
	narrow = 1 << 20
	// wide bounds the packets of a connection of which more is needed.
	wide = 16 << 20
	// maxSupport bounds the connections beside the one that a bundle is about.
	maxSupport = 8
)

// Write writes a bundle for each distribution connection into the folder, and
// the checksums of all. Where there is none, nothing is written.
func Write(ctx context.Context, folder *Folder, c Case, o Options) (Summary, error) {
	w := writer{ctx: ctx, folder: folder, c: c, o: o}
	todo := w.jobs()
	if len(todo) == 0 {
		return w.summary, nil
	}
	if err := folder.begin(); err != nil {
		return w.summary, err
	}
	for _, scope := range []int{narrow, wide} {
		if len(todo) == 0 {
			break
		}
		var err error
		if todo, err = w.writeAll(todo, scope); err != nil {
			return w.summary, err
		}
	}
	return w.summary, folder.commit()
}

type writer struct {
	ctx     context.Context
	folder  *Folder
	c       Case
	o       Options
	summary Summary
}

// A job is a bundle to be made.
type job struct {
	connection int // index of the connection that it is about
	support    []support
}

// A support is a connection that the verdict on another one rests on.
type support struct {
	connection int
	why        string
}

// writeAll writes the bundles of the jobs, and returns those of which more is
// needed.
func (w *writer) writeAll(jobs []job, scope int) (again []job, err error) {
	spool, err := newSpool(w.folder.scratch())
	if err != nil {
		return nil, err
	}
	defer spool.close()
	picks := w.picks(jobs, scope)
	if err := w.gather(picks, spool); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		b, err := w.bundle(j, picks, spool)
		if err != nil {
			return nil, err
		}
		if b.differs() && scope == narrow && !b.whole {
			again = append(again, j)
			continue
		}
		if err := w.write(b); err != nil {
			return nil, err
		}
	}
	return again, nil
}

func (w *writer) write(b *bundle) error {
	w.summary.Bundles++
	switch {
	case b.differs():
		w.summary.Differ = append(w.summary.Differ, fmt.Sprintf("%s: the bundle alone gives %s", b.name, b.difference))
	case b.withKeyLog:
		w.summary.NeedKeyLog++
	}
	if err := w.folder.add(b.name+".pcapng", b.packets, b.secret); err != nil {
		return err
	}
	facts, err := b.facts(w)
	if err != nil {
		return err
	}
	return w.folder.add(b.name+".json", facts, false)
}

// A bundle is a finished capture, and what it was found to show.
type bundle struct {
	job     job
	name    string
	packets []byte
	frames  []Frame
	// whole says that nothing of its connections was left out.
	whole  bool
	secret bool
	// difference says what the bundle gives instead of the original's verdict;
	// "" if it gives the same. withKeyLog says that it needs the key log for it.
	difference string
	withKeyLog bool
	alone      string // the difference without the key log
	// id is the connection's in a document of the bundle; "" if it is not there.
	id string
}

func (b *bundle) differs() bool { return b.difference != "" }

// check analyses the bundle.
func (w *writer) check(b *bundle) error {
	alone, err := w.examine(b, false)
	if err != nil {
		return err
	}
	b.difference, b.alone = alone, alone
	if alone == "" || w.c.Secrets == nil || b.secret {
		return nil
	}
	with, err := w.examine(b, true)
	if err != nil {
		return err
	}
	b.difference, b.withKeyLog = with, with == ""
	return nil
}

func (w *writer) examine(b *bundle, withKeyLog bool) (difference string, err error) {
	src, err := capture.NewReader(bytes.NewReader(b.packets), b.name+".pcapng")
	if err != nil {
		return "", err
	}
	defer src.Close()
	doc, err := w.o.Examine(src, withKeyLog)
	if err != nil {
		return "", err
	}
	want := &w.c.Document.Connections[b.job.connection]
	at := b.frameOf(capture.Frame{Input: uint32(want.Input), Number: want.FirstFrame})
	for i := range doc.Connections {
		if got := &doc.Connections[i]; got.FirstFrame == at {
			b.id = got.ID
			return differ(want, got), nil
		}
	}
	return "no such connection", nil
}

// frameOf returns the number in the bundle of a packet of the inputs.
func (b *bundle) frameOf(f capture.Frame) uint32 {
	for _, x := range b.frames {
		if x.Input == int(f.Input) && x.Original == f.Number {
			return x.Frame
		}
	}
	return 0
}
