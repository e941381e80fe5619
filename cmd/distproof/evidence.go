package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"

	"github.com/spf13/pflag"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/evidence"
	"distproof/internal/plural"
	"distproof/report"
)

// A prover writes the evidence of a run (--evidence). The nil prover, of a run
// without, does nothing.
type prover struct {
	folder  *evidence.Folder
	secrets bool
	flags   []string
	// stdin keeps standard input for the second reading; nil if it is no input.
	stdin *evidence.Spool
	first *watched
}

func evidenceFlags(f *pflag.FlagSet, s *settings) {
	f.StringVar(&s.evidence, "evidence", "", "write the packets that prove each verdict, and the facts, to `DIR`")
	f.BoolVar(&s.evidenceSecrets, "evidence-secrets", false, "with --evidence, add the secrets of TLS 1.3 handshakes, and no others")
}

// newProver checks that evidence can be written; nil if none is asked for.
func (a *app) newProver(args []string, s *settings) (*prover, error) {
	if s.evidence == "" {
		if s.evidenceSecrets {
			return nil, usagef("", "--evidence-secrets needs --evidence DIR")
		}
		return nil, nil
	}
	if err := refuseStreams(args); err != nil {
		return nil, err
	}
	folder, err := evidence.OpenFolder(s.evidence)
	if e, ok := errors.AsType[*evidence.FolderError](err); ok {
		return nil, usagef(e.Hint(), "--evidence %s: %s", s.evidence, e.Reason)
	}
	if err != nil {
		return nil, usagef("", "--evidence %s: %v", s.evidence, cause(err))
	}
	p := &prover{folder: folder, secrets: s.evidenceSecrets, flags: s.recognition()}
	if slices.Contains(args, "-") {
		if p.stdin, err = folder.NewSpool(a.stdin); err != nil {
			return nil, fmt.Errorf("--evidence %s: %w", s.evidence, err)
		}
	}
	return p, nil
}

// refuseStreams fails if an input can be read only once.
func refuseStreams(args []string) error {
	for _, path := range args {
		info, err := os.Stat(path)
		if path == "-" || err != nil || info.IsDir() || info.Mode().IsRegular() {
			continue
		}
		return usagef("pipe it in, which keeps a copy: ... | distproof verify --evidence DIR -", "--evidence reads captures twice, and %s is not a file", path)
	}
	return nil
}

// recognition returns the flags without which connections might not be
// recognised again.
func (s *settings) recognition() []string {
	var out []string
	for name, list := range map[string]ports{"--port": s.ports, "--epmd-port": s.epmdPorts, "--vxlan-port": s.vxlanPorts} {
		for _, p := range list {
			out = append(out, name+"="+strconv.Itoa(int(p)))
		}
	}
	if s.anyChecksum {
		out = append(out, "--ignore-checksums")
	}
	slices.Sort(out)
	return out
}

// input is what is to be read as standard input.
func (p *prover) input(stdin io.Reader) io.Reader {
	if p == nil || p.stdin == nil {
		return stdin
	}
	return p.stdin
}

// watch returns src, and remembers what comes from it.
func (p *prover) watch(src capture.Source) capture.Source {
	if p == nil {
		return src
	}
	p.first = newWatched(src, maphash.MakeSeed())
	return p.first
}

// close removes what is not to stay.
func (p *prover) close() {
	if p == nil {
		return
	}
	if p.stdin != nil {
		p.stdin.Close()
	}
	_ = p.folder.Discard() // nothing can be done about what cannot be removed
}

// prove writes the evidence of an analysis.
func (a *app) prove(p *prover, x *analysis, o analyzeOptions, quiet bool) error {
	if p == nil {
		return nil
	}
	if p.secrets && x.secrets == nil {
		return usagef("give --keylog FILE, or a capture with a Decryption Secrets Block", "--evidence-secrets: there is no key log")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sums, err := p.sums(x.inputs)
	if err != nil {
		return fmt.Errorf("cannot write evidence: %w", err)
	}
	c := evidence.Case{Document: x.document, Facts: x.facts, Inputs: x.inputs, SHA256: sums, Secrets: x.secrets}
	summary, err := evidence.Write(ctx, p.folder, c, evidence.Options{
		IncludeSecrets: p.secrets, Flags: p.flags, Links: o.links(),
		Reopen: func() (capture.Source, error) {
			return p.reopen(x.inputs, func(m meter) func() { return a.showProgress(m, quiet) })
		},
		Examine: func(src capture.Source, withKeyLog bool) (*report.Document, error) {
			return examineBundle(src, o, x.secrets, withKeyLog)
		},
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: no evidence was written")
	case err != nil:
		return fmt.Errorf("cannot write evidence: %w", err)
	case !quiet:
		a.tell(summary, p)
	}
	return nil
}

// examineBundle analyses a bundle as the capture was.
func examineBundle(src capture.Source, o analyzeOptions, log *secrets.Log, withKeyLog bool) (*report.Document, error) {
	o.Judge, o.CAs, o.Keys = false, nil, nil
	if withKeyLog {
		o.Keys = keyringOf(log)
	}
	return analyze(src, o)
}

// tell says on stderr what was written.
func (a *app) tell(s evidence.Summary, p *prover) {
	if s.Bundles == 0 {
		fmt.Fprintln(a.stderr, "evidence: none is written, as there is no connection between nodes")
		return
	}
	fmt.Fprintf(a.stderr, "evidence: %s in %s\n", plural.Of(s.Bundles, "bundle", "bundles"), report.Escape(p.folder.Path()))
	for _, text := range s.Differ {
		fmt.Fprintln(a.stderr, "evidence: "+report.Escape(text))
	}
	if s.NeedKeyLog > 0 {
		why := "--evidence-secrets adds the secrets of TLS 1.3 handshakes"
		if p.secrets {
			why = "before TLS 1.3 no secret opens the handshake alone"
		}
		fmt.Fprintf(a.stderr, "evidence: %d of them prove as much only with the key log; %s\n", s.NeedKeyLog, why)
	}
}

// sums returns the checksums of the inputs.
func (p *prover) sums(inputs []capture.Input) ([]string, error) {
	var out []string
	for _, in := range inputs {
		sum, err := p.sum(in.Path)
		if err != nil {
			return nil, err
		}
		out = append(out, sum)
	}
	return out, nil
}

func (p *prover) sum(path string) (string, error) {
	h := sha256.New()
	var src io.Reader
	if path == "-" {
		if p.stdin.Err() != nil {
			return "", p.stdin.Err()
		}
		src = p.stdin.Again()
	} else {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		src = f
	}
	_, err := io.Copy(h, src)
	return hex.EncodeToString(h.Sum(nil)), err
}

// reopen returns the same inputs again; show shows how far they are read.
func (p *prover) reopen(inputs []capture.Input, show func(meter) func()) (capture.Source, error) {
	var paths []string
	for _, in := range inputs {
		paths = append(paths, in.Path)
	}
	var o capture.Options
	if p.stdin != nil {
		o.Stdin = p.stdin.Again()
	}
	src, err := capture.Open(paths, o)
	if err != nil {
		return nil, err
	}
	return &secondReading{watched: newWatched(src, p.first.hash.Seed()), first: p.first, clear: show(src)}, nil
}

// A watched source computes a checksum of all packets.
type watched struct {
	capture.Source
	hash  maphash.Hash
	ended bool
}

func newWatched(src capture.Source, seed maphash.Seed) *watched {
	w := &watched{Source: src}
	w.hash.SetSeed(seed)
	return w
}

// Next implements [capture.Source].
func (w *watched) Next(p *capture.Packet) error {
	err := w.Source.Next(p)
	if err != nil {
		w.ended = errors.Is(err, io.EOF)
		return err
	}
	var h [32]byte
	binary.LittleEndian.PutUint64(h[0:], uint64(p.Time))
	binary.LittleEndian.PutUint32(h[8:], p.Frame.Input)
	binary.LittleEndian.PutUint32(h[12:], p.Frame.Number)
	binary.LittleEndian.PutUint64(h[16:], uint64(p.Length))
	binary.LittleEndian.PutUint32(h[24:], uint32(len(p.Data)))
	binary.LittleEndian.PutUint16(h[28:], uint16(p.LinkType))
	h[30] = p.FCSLength
	w.hash.Write(h[:])   //nolint:errcheck // never fails
	w.hash.Write(p.Data) //nolint:errcheck // never fails
	return nil
}

// A secondReading fails at its end if it was not the same as the first.
type secondReading struct {
	*watched
	first *watched
	clear func()
}

// Close implements [capture.Source].
func (s *secondReading) Close() error {
	s.clear()
	err := s.Source.Close()
	if s.ended && s.hash.Sum64() != s.first.hash.Sum64() {
		return &capture.Error{Reason: "the capture changed while it was read", Advice: "copy it first, or wait until its writer has finished"}
	}
	return err
}
