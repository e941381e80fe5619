//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is a program the lab started. Only such processes are ever stopped.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // what it printed, line by line; closed at its end
	tail  []string    // the last lines, for error messages
	done  chan struct{}
}

// start runs a program without a time limit; stop ends it.
func start(name string, env []string, argv ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), lines: make(chan string, 1024), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	// One pipe for both outputs, so that lines stay in order.
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), read.Close(), write.Close())
	}
	write.Close()
	go p.read(read)
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: what it said does
		close(p.done)
	}()
	return p, nil
}

func (p *process) read(r io.ReadCloser) {
	defer r.Close()
	defer close(p.lines)
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		select {
		case p.lines <- scanner.Text():
		default: // nobody listens to this one any more
		}
	}
}

// await returns the first line for which match holds.
func (p *process) await(ctx context.Context, what string, match func(string) bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s: no %s: %w%s", p.name, what, ctx.Err(), p.said())
		case line, open := <-p.lines:
			if !open {
				return "", fmt.Errorf("%s ended before %s%s", p.name, what, p.said())
			}
			p.tail = append(p.tail, line)
			if match(line) {
				return line, nil
			}
		}
	}
}

func (p *process) said() string {
	if len(p.tail) == 0 {
		return ""
	}
	return "; it printed:\n  " + strings.Join(p.tail[max(0, len(p.tail)-20):], "\n  ")
}

// stop asks with the given signal, or by closing standard input if it is nil,
// and kills the process if it is still there after the grace period.
func (p *process) stop(signal os.Signal) {
	const grace = 5 * time.Second
	p.stdin.Close()
	if signal != nil {
		_ = p.cmd.Process.Signal(signal) // already gone is fine
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for line := range p.lines {
		p.tail = append(p.tail, line)
	}
}
