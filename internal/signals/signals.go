// Package signals waits for the signals that a program that runs for long gets.
package signals

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals are being waited for.
type Signals struct {
	// End brings the first signal that asks to end. The next one ends the program,
	// whatever it is doing.
	End <-chan os.Signal
	// Again brings those that ask to read settings again.
	Again <-chan os.Signal

	end, again chan os.Signal
	done       chan struct{}
	stop       sync.Once
}

// Catch begins to wait, until Stop. Signals that are ignored, as below nohup, stay
// so.
func Catch() *Signals {
	s := &Signals{end: make(chan os.Signal, 1), again: make(chan os.Signal, 1), done: make(chan struct{})}
	end := make(chan os.Signal, 1)
	s.End, s.Again = end, s.again
	catch := func(c chan os.Signal, all ...os.Signal) {
		for _, one := range all {
			if !signal.Ignored(one) {
				signal.Notify(c, one)
			}
		}
	}
	catch(s.end, os.Interrupt, syscall.SIGTERM)
	catch(s.again, syscall.SIGHUP)
	go func() {
		select {
		case first := <-s.end:
			signal.Stop(s.end)
			end <- first
		case <-s.done:
		}
	}()
	return s
}

// Stop lets signals do what they do by themselves. It may be called again.
func (s *Signals) Stop() {
	signal.Stop(s.end)
	signal.Stop(s.again)
	s.stop.Do(func() { close(s.done) })
}
