package main

import (
	"cmp"
	"crypto/x509"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/internal/omission"
	"distproof/report"
	"distproof/verify"
	"distproof/verify/policy"
)

// analyzeOptions are the settings of the analysis.
type analyzeOptions struct {
	// Judge asks for findings and a conclusion.
	Judge                        bool
	Ports, EPMDPorts, VXLANPorts []uint16
	// Only restricts the connections to those of interest.
	Only link.Restriction
	// Payload keeps the first terms that cross in the clear.
	Payload bool
	// AnyChecksum takes packets with wrong TCP checksums for what they are.
	AnyChecksum bool
	// MaxMemory is how much memory is to be used; 0 is as much as it takes.
	MaxMemory int64
	// Workers is how many goroutines share the work; 0 is one a processor.
	Workers int
	// Expect has what the user says of the cluster, and the cookies to try.
	Expect verify.Options
	// Policy is where Expect and CAs are from; nil if nothing is judged.
	Policy *policy.File
	// CAs is nil if certificates are not to be checked.
	CAs *x509.CertPool
	// Keys has the key logs given; nil if there are none. Those found in the
	// captures are added.
	Keys *keyring
	// Baseline has what is let pass; nil for none.
	Baseline *baseline
	// Hurry says that packets are lost that are not taken in time.
	Hurry bool
	// Lazy leaves the connections out of the document until they are written.
	Lazy bool
}

// An analysis is a document and what it was made of.
type analysis struct {
	document *report.Document
	// lazy writes the document, which has no connections; nil unless asked for.
	lazy   *report.Lazy
	facts  *decode.Capture
	inputs []capture.Input
	// judgement is what the document says, and how it was come by.
	judgement *verify.Judgement
	// secrets is the key log, given or found; nil if there is none.
	secrets *secrets.Log
}

// analyze is the way of the data from packets to the document.
func analyze(src capture.Source, o analyzeOptions) (*report.Document, error) {
	x, err := examine(src, o)
	if err != nil {
		return nil, err
	}
	return x.document, nil
}

// examine is analyze, with what the document was made of.
func examine(src capture.Source, o analyzeOptions) (*analysis, error) {
	links := link.NewDecoder(o.links())
	keys := o.keyring(src)
	decoding := o.decoding()
	decoding.Secrets = keys.current
	decoder := decode.NewDecoder(decoding)
	if err := capture.Guard(func() error { return follow(src, links, decoder, keys, o.workers()) }); err != nil {
		return nil, err
	}
	if err := keys.finish(); err != nil {
		return nil, err
	}
	inputs := src.Inputs()
	facts := decoder.Finish(links.Encapsulation)
	packets := omission.Of(links, len(inputs))
	var judgement *verify.Judgement
	options := o.judgeBy()
	if o.Judge {
		judgement = verify.Judge(facts, omission.Coverage(inputs, packets, &facts.LeftOut), options)
	} else {
		judgement = verify.Observe(facts, options)
	}
	out := &analysis{facts: facts, inputs: inputs, judgement: judgement, secrets: keys.current()}
	undecoded := omission.Undecoded(packets, &facts.LeftOut)
	if o.Lazy {
		out.lazy = report.NewLazy(tool(), inputs, undecoded, facts, judgement)
		out.document = out.lazy.Document
	} else {
		out.document = report.New(tool(), inputs, undecoded, facts, judgement)
	}
	return out, nil
}

// links are the options for taking packets apart.
func (o analyzeOptions) links() link.Options {
	return link.Options{VXLANPorts: o.VXLANPorts, Only: o.Only}
}

// decoding are the options for taking connections apart.
func (o analyzeOptions) decoding() decode.Options {
	return decode.Options{
		Ports: o.Ports, EPMDPorts: o.EPMDPorts, Payload: o.Payload, AnyChecksum: o.AnyChecksum,
		MaxMemory: o.MaxMemory, Workers: o.Workers, Hurry: o.Hurry,
	}
}

// judgeBy is what to judge by.
func (o analyzeOptions) judgeBy() verify.Options {
	options := o.Expect
	options.CAs = o.CAs
	return options
}

// keyring returns the key logs of the run, to which those in src are added.
func (o analyzeOptions) keyring(src capture.Source) *keyring {
	k := cmp.Or(o.Keys, &keyring{log: new(secrets.Log)})
	k.src = src
	return k
}
