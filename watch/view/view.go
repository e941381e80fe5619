// Package view shows a watch in a terminal: a table of the connections between
// nodes that changes in place, with what each comes to and why.
//
// It draws when there is something new, when a key is pressed, and when the mark
// of a row that changed fades; otherwise it sleeps.
package view

import (
	"context"
	"io"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	_ "distproof/internal/quietterm"
	"distproof/watch"
)

// A Source is what is shown: an [watch.Engine].
type Source interface {
	State() *watch.State
	// Changed is closed when there is a newer State than that of the last call.
	Changed() <-chan struct{}
}

// A Note is something that happened.
type Note struct {
	Time time.Time
	// Severity is that of a finding, "warning" for what the program says itself,
	// and empty or info for what is no trouble.
	Severity string
	Text     string
}

// Options of [Run].
type Options struct {
	// In is where keys come from: a terminal.
	In io.Reader
	// Out is the terminal that is drawn on.
	Out io.Writer
	// Color repeats in colour what words say.
	Color bool
	// Notes brings what happened; nil for nothing.
	Notes <-chan Note
}

// framesPerSecond is how often the terminal is written to at most. Bubble Tea looks
// that often whether there is something to write: few, so that idling costs little.
const framesPerSecond = 15

// Run shows src until the user ends it or closes the terminal, which is no error,
// or ctx does.
func Run(ctx context.Context, src Source, o Options) error {
	var program *tea.Program
	in := o.In
	if f, ok := in.(*os.File); ok {
		in = &keyboard{f, func() { program.Quit() }}
	}
	program = tea.NewProgram(newModel(src, o),
		tea.WithInput(in), tea.WithOutput(o.Out),
		tea.WithAltScreen(), tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond))
	// With a context of its own, the program would not wait for what reads keys.
	stop := context.AfterFunc(ctx, program.Quit)
	defer stop()
	_, err := program.Run()
	return err
}

// A keyboard is a terminal that tells when it was closed. Bubble Tea would go on, and
// nobody could end it.
type keyboard struct {
	*os.File
	closed func()
}

// Read reads keys. The end, or an error, is that of the terminal.
func (k *keyboard) Read(p []byte) (int, error) {
	n, err := k.File.Read(p)
	if err != nil {
		k.closed()
		err = io.EOF
	}
	return n, err
}

// Terminal opens the terminal of the process, for keys where standard input is
// something else.
func Terminal() (*os.File, error) { return os.Open("/dev/tty") }
