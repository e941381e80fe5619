package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"distproof/report"
)

// Schema names the version of the facts' format.
const Schema = "distproof.evidence/v1"

// Facts are what a bundle is to prove.
type Facts struct {
	Schema string      `json:"schema"`
	Tool   report.Tool `json:"tool"`
	Inputs []Input     `json:"inputs"`
	// Connection is the connection's object of the report. Its frame numbers
	// are those of the inputs.
	Connection report.Connection `json:"connection"`
	// Supporting are the other connections in the bundle.
	Supporting []Supporting `json:"supporting"`
	Capture    Capture      `json:"capture"`
	Recheck    Recheck      `json:"recheck"`
	Frames     []Frame      `json:"frames"`
}

// Input is a capture that was read.
type Input struct {
	report.Input
	// SHA256 is the checksum of the file as it is on disk; absent if it is not
	// known.
	SHA256 string `json:"sha256,omitempty"`
}

// Supporting is a connection that the verdict rests on.
type Supporting struct {
	ID       string `json:"id"`
	Protocol string `json:"protocol"`
	Why      string `json:"why"`
}

// Capture is the bundle's pcapng file.
type Capture struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
	// Whole says that all packets of its connections are in it.
	Whole bool `json:"whole"`
	// Secrets says that the handshake secrets of the connection are in it.
	Secrets bool `json:"secrets"`
}

// Recheck says how to check the verdict from the bundle, and what came of it
// when the bundle was written.
type Recheck struct {
	Command []string `json:"command"`
	// Connection is the connection's id in a report of the bundle.
	Connection string `json:"connection,omitempty"`
	// Reproduces says that the bundle alone gives the same verdict, state,
	// reason and bases; Difference what it gives instead.
	Reproduces bool   `json:"reproduces"`
	Difference string `json:"difference,omitempty"`
	// WithKeyLog says that the bundle gives them together with the key log that
	// the original was read with.
	WithKeyLog bool `json:"reproduces_with_key_log,omitempty"`
}

// Frame is a packet of the bundle.
type Frame struct {
	// Frame is its number in the bundle, Original that in the input.
	Frame    uint32 `json:"frame"`
	Input    int    `json:"input"`
	Original uint32 `json:"original"`
	// Connection is the id in the report.
	Connection string `json:"connection"`
	// Shows says what the packet shows.
	Shows []string `json:"shows"`
}

// facts returns the bundle's facts as JSON.
func (b *bundle) facts(w *writer) ([]byte, error) {
	doc := w.c.Document
	sum := sha256.Sum256(b.packets)
	file := b.name + ".pcapng"
	out := Facts{
		Schema: Schema, Tool: doc.Tool, Inputs: []Input{}, Connection: doc.Connections[b.job.connection], Supporting: []Supporting{},
		Capture: Capture{File: file, SHA256: hex.EncodeToString(sum[:]), Bytes: len(b.packets), Whole: b.whole, Secrets: b.secret},
		Recheck: Recheck{
			Command:    slices.Concat([]string{"distproof", "verify"}, w.o.Flags, []string{file}),
			Connection: b.id, Reproduces: b.alone == "", Difference: b.alone, WithKeyLog: b.withKeyLog,
		},
		Frames: notNil(b.frames),
	}
	for i, in := range doc.Inputs {
		x := Input{Input: in}
		if i < len(w.c.SHA256) {
			x.SHA256 = w.c.SHA256[i]
		}
		out.Inputs = append(out.Inputs, x)
	}
	for _, s := range b.job.support {
		c := &doc.Connections[s.connection]
		out.Supporting = append(out.Supporting, Supporting{c.ID, c.Protocol, s.why})
	}
	var text bytes.Buffer
	err := report.WriteJSON(&text, out)
	return text.Bytes(), err
}
