package report

import (
	"encoding/json"
	"io"
)

// renderNDJSON writes the document as lines of JSON, each with a type: what
// was read, the nodes, connections, edges and findings, and last a summary
// with everything else that the document has.
func renderNDJSON(w io.Writer, doc *Document, _ Options) error {
	return writeNDJSON(w, doc, doc.lists())
}

func writeNDJSON(w io.Writer, doc *Document, all lists) error {
	enc := json.NewEncoder(escapingWriter{w})
	enc.SetEscapeHTML(false)
	for i := range doc.Inputs {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			*Input
		}{"input", &doc.Inputs[i]}); err != nil {
			return err
		}
	}
	for i := range doc.Nodes {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			*Node
		}{"node", &doc.Nodes[i]}); err != nil {
			return err
		}
	}
	for i := range all.connections.n {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			*Connection
		}{"connection", all.connections.at(i)}); err != nil {
			return err
		}
	}
	for i := range doc.Edges {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			*Edge
		}{"edge", &doc.Edges[i]}); err != nil {
			return err
		}
	}
	for i := range all.findings.n {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			// Number is what explain --finding takes.
			Number int `json:"number"`
			*Finding
		}{"finding", i + 1, all.findings.at(i)}); err != nil {
			return err
		}
	}
	return enc.Encode(summaryLine(doc))
}

// summaryLine is the document without the lists that have lines of their own:
// their names are taken by fields that are left out when they are nil.
func summaryLine(doc *Document) any {
	type nothing *struct{}
	return struct {
		Type string `json:"type"`
		*Document
		Inputs      nothing `json:"inputs,omitempty"`
		Nodes       nothing `json:"nodes,omitempty"`
		Connections nothing `json:"connections,omitempty"`
		Edges       nothing `json:"edges,omitempty"`
		Findings    nothing `json:"findings,omitempty"`
	}{Type: "summary", Document: doc}
}
