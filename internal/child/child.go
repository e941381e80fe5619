// Package child runs a command in the foreground: it has this program's
// terminal, input and output, and gets the signals that ask to end.
package child

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// A Command is a running program.
type Command struct {
	cmd     *exec.Cmd
	signals chan os.Signal
	times   map[os.Signal]int // how often each came
	// terminal says that interrupts from a keyboard reach the command without
	// help.
	terminal bool
}

// Streams are what the command reads and writes. Files are handed over as they
// are; of others, what is written in the end is waited for, but not long.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// outputDelay is how long a command's descendants may hold its output after its
// end: daemons do so for good.
const outputDelay = 2 * time.Second

// Start starts a program. From now on until Stop, signals that ask this program
// to end do not end it.
func Start(argv []string, s Streams) (*Command, error) {
	c := &Command{cmd: exec.Command(argv[0], argv[1:]...), signals: make(chan os.Signal, 4), times: make(map[os.Signal]int), terminal: hasTerminal()}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = s.In, s.Out, s.Err
	c.cmd.WaitDelay = outputDelay
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) { // as below nohup
			signal.Notify(c.signals, s)
		}
	}
	if err := c.cmd.Start(); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// Signals are those that came, when Wait has returned.
func (c *Command) Signals() <-chan os.Signal { return c.signals }

// Stop lets signals end this program again.
func (c *Command) Stop() { signal.Stop(c.signals) }

// Wait waits for the command's end, and passes signals on; one that comes again
// kills it. An error says how it failed.
func (c *Command) Wait() error {
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if errors.Is(err, exec.ErrWaitDelay) {
				return nil // it succeeded
			}
			return err
		case s := <-c.signals:
			c.times[s]++
			c.pass(s)
		}
	}
}

// pass passes on a signal. The command is in the same process group, as every
// command in the foreground: what is typed at the terminal reaches it from there,
// and twice could mean more to it than once. So nothing is sent then, and only a
// third time says that it does not listen. Another signal is passed on first, as
// those who cancel a job send SIGINT and then SIGTERM, and a command that is killed
// cannot clean up.
func (c *Command) pass(s os.Signal) {
	typed := c.terminal && (s == os.Interrupt || s == syscall.SIGQUIT)
	switch n := c.times[s]; {
	case n > 2, n > 1 && !typed:
		_ = c.cmd.Process.Kill() // gone already is fine
	case !typed:
		_ = c.cmd.Process.Signal(s)
	}
}

// hasTerminal reports whether there is a keyboard that can interrupt.
func hasTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	f.Close()
	return true
}
