package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A colorMode says where colours go.
type colorMode struct{ stdout, files bool }

// useColor decides about colours: the flag wins over NO_COLOR, and without
// either they are for terminals only.
func (a *app) useColor(flag string) (colorMode, error) {
	switch flag {
	case "always":
		return colorMode{stdout: true, files: true}, nil
	case "never":
		return colorMode{}, nil
	case "auto":
		on := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(a.stdout)
		return colorMode{stdout: on}, nil
	default:
		return colorMode{}, usagef("--color takes auto, always or never", "--color: unknown value %q", flag)
	}
}

// width returns the number of columns of the terminal, 0 if there is none.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// refuseTerminal fails if packets would have to be typed: without it the
// program would seem to hang.
func (a *app) refuseTerminal(args []string) error {
	if slices.Contains(args, "-") && isTerminal(a.stdin) {
		return usagef("tcpdump -i any -U -w - | distproof verify -", "standard input is a terminal, not a capture")
	}
	return nil
}

// A run that is over sooner than progressDelay shows no progress bar.
const (
	progressDelay  = time.Second
	progressPeriod = 100 * time.Millisecond
)

// A meter knows how much was read, in bytes; total is 0 if it is not known.
type meter interface {
	Progress() (read, total int64)
}

// showProgress draws a bar on stderr while m reads. The returned function
// takes it away.
func (a *app) showProgress(m meter, quiet bool) (clear func()) {
	if quiet || !isTerminal(a.stderr) || os.Getenv("TERM") == "dumb" {
		return func() {}
	}
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() { draw(a.stderr, m, done) })
	return func() {
		close(done)
		drawing.Wait()
	}
}

// draw draws the bar until done is closed.
func draw(w io.Writer, m meter, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-time.After(progressDelay):
	}
	_, total := m.Progress()
	if total == 0 {
		total = -1 // unknown: the bar becomes a spinner
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription("reading"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	// A bar that cannot be drawn is no reason to fail.
	defer bar.Clear() //nolint:errcheck
	tick := time.NewTicker(progressPeriod)
	defer tick.Stop()
	for {
		if read, _ := m.Progress(); total < 0 || read < total {
			bar.Set64(read) //nolint:errcheck
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// patience is how long the input may take to end after an interrupt before the
// user is told what is being waited for.
const patience = time.Second

// finishOnInterrupt makes Ctrl-C end the input and not the run if packets are
// piped in: the terminal interrupts tcpdump, too, which then writes what it
// still has and closes the pipe. A second Ctrl-C ends the run.
func (a *app) finishOnInterrupt(args []string) (stop func()) {
	if !slices.Contains(args, "-") {
		return func() {}
	}
	interrupts := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		select {
		case <-interrupts:
			signal.Reset(os.Interrupt)
		case <-done:
			return
		}
		select {
		case <-time.After(patience):
			fmt.Fprintln(a.stderr, "waiting for the end of the input; interrupt again to stop without a report")
		case <-done:
		}
	}()
	return func() {
		signal.Stop(interrupts)
		close(done)
	}
}
