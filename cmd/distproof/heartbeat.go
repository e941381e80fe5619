package main

import (
	"sync/atomic"
	"time"
)

// A heartbeat notes when packets come. Making one counts as the first.
type heartbeat struct {
	began time.Time
	last  atomic.Int64 // since began
}

func newHeartbeat() *heartbeat { return &heartbeat{began: time.Now()} }

func (h *heartbeat) beat() { h.last.Store(int64(time.Since(h.began))) }

// silence is for how long no packet came.
func (h *heartbeat) silence() time.Duration {
	return time.Since(h.began) - time.Duration(h.last.Load())
}
