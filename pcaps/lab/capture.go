//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// capture is a running tcpdump.
type capture struct{ *process }

// startCapture records an interface of a namespace until stop, and returns
// when packets are really being recorded.
func (l *lab) startCapture(ctx context.Context, namespace, iface, filter, file string) (*capture, error) {
	p, err := start("tcpdump", nil, "ip", "netns", "exec", namespace,
		"tcpdump", "-i", iface, "-n", "-U", "--immediate-mode", "-s", "0", "-B", "8192", "-Z", "root", "-w", file, filter)
	if err != nil {
		return nil, err
	}
	l.onClose(func() { p.stop(os.Interrupt) })
	_, err = p.await(ctx, "listening", func(s string) bool { return strings.Contains(s, "listening on") })
	return &capture{p}, err
}

// finish ends the capture. A recording that lost packets is an error: its
// truth would not be the truth about what is in the file.
func (c *capture) finish(ctx context.Context) error {
	const lastPackets = 300 * time.Millisecond // the ring is read in blocks
	if err := pause(ctx, lastPackets); err != nil {
		return err
	}
	c.stop(os.Interrupt)
	for _, line := range c.tail {
		if strings.HasSuffix(line, "dropped by kernel") && !strings.HasPrefix(line, "0 ") {
			return fmt.Errorf("tcpdump: %s", line)
		}
	}
	return nil
}
