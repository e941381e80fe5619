package main

import (
	"sync/atomic"

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

// A pulseTap counts packets, and notes when they come.
type pulseTap struct {
	*heartbeat
	packets atomic.Uint64
}

// Packet implements [watch.Tap].
func (t *pulseTap) Packet(*capture.Packet, uint64) {
	t.packets.Add(1)
	t.beat()
}

// State implements [watch.Tap].
func (*pulseTap) State(*watch.State) {}
