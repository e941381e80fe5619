package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
	"distproof/decode/secrets"
	"distproof/report"
	"distproof/verify"
)

// analyzeOptions are the settings of the analysis.
type analyzeOptions struct {
	// Judge asks for findings and a conclusion.
	Judge                        bool
	Ports, EPMDPorts, VXLANPorts []uint16
	// Expect has what the user says of the cluster, and the cookies to try.
	Expect verify.Options
	// CAs is nil if certificates are not to be checked.
	CAs *x509.CertPool
	// Secrets holds the key logs given; nil if there are none. Those found in
	// the captures are added, as KeyLog says.
	Secrets *secrets.Log
	KeyLog  secrets.Options
}

// analyze is the way of the data from packets to the document.
func analyze(src capture.Source, o analyzeOptions) (*report.Document, error) {
	links := link.NewDecoder(link.Options{VXLANPorts: o.VXLANPorts})
	keys := keyLog(src, o.Secrets)
	decoder := decode.NewDecoder(decode.Options{Ports: o.Ports, EPMDPorts: o.EPMDPorts, Secrets: keys})
	if err := capture.Guard(func() error { return follow(src, links, decoder) }); err != nil {
		return nil, err
	}
	inputs := src.Inputs()
	if err := addSecrets(keys(), inputs, o.KeyLog); err != nil {
		return nil, err
	}
	facts := decoder.Finish(links.Encapsulation)
	var judgement *verify.Judgement
	options := o.Expect
	options.CAs = o.CAs
	if o.Judge {
		judgement = verify.Judge(facts, coverage(inputs, links), options)
	} else {
		judgement = verify.Observe(facts, options)
	}
	var undecoded []map[string]uint64
	for i := range inputs {
		undecoded = append(undecoded, links.Undecoded(uint32(i)))
	}
	return report.New(report.Tool{Name: "distproof", Version: toolVersion()}, inputs, undecoded, facts, judgement), nil
}

// keyLog returns the key log as soon as there is one: given, or in a capture.
func keyLog(src capture.Source, given *secrets.Log) func() *secrets.Log {
	found := new(secrets.Log)
	return func() *secrets.Log {
		switch {
		case given != nil:
			return given
		case src.HasSecrets():
			return found
		}
		return nil
	}
}

// addSecrets adds the key logs that the captures hold themselves.
func addSecrets(log *secrets.Log, inputs []capture.Input, o secrets.Options) error {
	for _, in := range inputs {
		for _, text := range in.Secrets {
			if _, err := log.Read(bytes.NewReader(text), o); err != nil {
				return fmt.Errorf("%s: key log in the capture: %w", in.Path, err)
			}
		}
	}
	return nil
}

// follow brings every packet's segment to the decoder.
func follow(src capture.Source, links *link.Decoder, decoder *decode.Decoder) error {
	var packet capture.Packet
	var segment link.Segment
	for {
		err := src.Next(&packet)
		if errors.Is(err, io.EOF) {
			links.Finish()
			return nil
		}
		if err != nil {
			return err
		}
		if links.Decode(&packet, &segment) {
			decoder.Segment(&segment)
		}
	}
}

// coverage says what the inputs left out.
func coverage(inputs []capture.Input, links *link.Decoder) verify.Coverage {
	out := verify.Coverage{Unreadable: make(map[string]uint64), Sealed: make(map[string]uint64)}
	for i, in := range inputs {
		if in.Damage != nil {
			out.Damaged = append(out.Damaged, in.Path+": "+in.Damage.String())
		}
		out.Dropped += in.Dropped
		for why, n := range links.Unreadable(uint32(i)) {
			out.Unreadable[why] += n
		}
		for why, n := range links.Sealed(uint32(i)) {
			out.Sealed[why] += n
		}
	}
	return out
}
