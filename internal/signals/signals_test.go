//go:build unix

package signals

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

func TestSignals(t *testing.T) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // below nohup, it would be ignored
	defer signal.Stop(heard)
	s := Catch()
	defer s.Stop()
	send := func(signal os.Signal) {
		t.Helper()
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(signal)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(c <-chan os.Signal, signal os.Signal) {
		t.Helper()
		select {
		case got := <-c:
			if got != signal {
				t.Errorf("%v, not %v", got, signal)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %v", signal)
		}
	}
	for range 2 {
		send(syscall.SIGHUP)
		want(s.Again, syscall.SIGHUP)
	}
	send(syscall.SIGTERM)
	want(s.End, syscall.SIGTERM)
	s.Stop()
}
