package main

import (
	"sync/atomic"
	"time"

	"distproof/capture"
	"distproof/watch"
)

// taps are several, one after the other.
type taps []watch.Tap

// Packet implements [watch.Tap].
func (t taps) Packet(p *capture.Packet, connection uint64) {
	for _, tap := range t {
		tap.Packet(p, connection)
	}
}

// State implements [watch.Tap].
func (t taps) State(s *watch.State) {
	for _, tap := range t {
		tap.State(s)
	}
}

// A pulseTap notes that packets come.
type pulseTap struct {
	began   time.Time
	packets atomic.Uint64
	last    atomic.Int64 // since began
}

func newPulseTap() *pulseTap { return &pulseTap{began: time.Now()} }

// Packet implements [watch.Tap].
func (t *pulseTap) Packet(*capture.Packet, uint64) {
	t.packets.Add(1)
	t.last.Store(int64(time.Since(t.began)))
}

// State implements [watch.Tap].
func (*pulseTap) State(*watch.State) {}

// silence is for how long no packet came.
func (t *pulseTap) silence() time.Duration {
	return time.Since(t.began) - time.Duration(t.last.Load())
}
