package main

import (
	"crypto/x509"
	"errors"
	"io"

	"distproof/capture"
	"distproof/report"
)

// analyzeOptions are the settings of the analysis.
type analyzeOptions struct {
	// Judge asks for findings and a conclusion.
	Judge                        bool
	Ports, EPMDPorts, VXLANPorts []uint16
	// CAs is nil if certificates are not to be checked.
	CAs *x509.CertPool
}

// analyze counts packets. It stands in for the pipeline.
func analyze(src capture.Source, o analyzeOptions) (*report.Document, error) {
	var p capture.Packet
	for {
		err := src.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	doc := &report.Document{
		Inputs: []report.Input{}, Nodes: []report.Node{}, Connections: []report.Connection{}, Edges: []report.Edge{}, Findings: []report.Finding{},
		EPMD: report.EPMD{Names: []report.EPMDName{}, Requests: map[string]uint64{}, Clients: []string{}},
	}
	for _, in := range src.Inputs() {
		i := report.Input{Path: in.Path, Format: in.Format, Packets: in.Packets, Bytes: in.Bytes, Truncated: in.Damage != nil && !in.Damage.Continued, Undecoded: map[string]uint64{}}
		if in.Damage != nil {
			i.Damage = in.Damage.String()
		}
		doc.Inputs = append(doc.Inputs, i)
	}
	if o.Judge {
		doc.Conclusion, doc.Reason = "inconclusive", "nothing to verify: no connection between Erlang nodes was seen"
	}
	return doc, nil
}
