//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"distproof/internal/mutate"
)

// A step is one packet of a conversation, as far as it is the same in every
// copy of it.
type step struct {
	server  bool  // sent by the server
	at      int64 // nanoseconds since the conversation began
	seq     uint32
	ack     uint32 // both count from the beginning of their streams; the SYN is 0
	flags   byte
	options []byte
	stamp   int // offset of the timestamp's value in options; -1 if there is none
	payload []byte
	sum     uint64 // of the payload, for the checksum
}

// A conversation is a TCP connection between nodes, without what tells it from
// others of its kind.
type conversation struct {
	verdict string // what the capture proves of it
	steps   []step
}

// TCP flags.
const (
	fin = 1 << iota
	syn
	_
	psh
	ack
)

// templates are the real conversations that the captures are made of.
type templates map[string]conversation

// used are the captures of which the first connection beside those to EPMD is
// taken.
var used = []string{"mutual_tls13", "mutual_tls12", "oneway_tls13", "empty_accepted_tls13", "plain"}

func loadTemplates(dir string) (templates, error) {
	truth, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		return nil, err
	}
	var captures map[string]struct {
		Connections []struct{ Verdict string }
	}
	if err := json.Unmarshal(truth, &captures); err != nil {
		return nil, fmt.Errorf("truth.json: %w", err)
	}
	t := make(templates)
	for _, name := range used {
		packets, err := mutate.ReadFile(filepath.Join(dir, name+".pcap"))
		if err != nil {
			return nil, err
		}
		c := conversationIn(packets)
		if len(c.steps) == 0 || len(captures[name].Connections) == 0 {
			return nil, fmt.Errorf("%s: no connection between nodes", name)
		}
		c.verdict = captures[name].Connections[0].Verdict
		t[name] = c
	}
	return t, nil
}

const (
	etherLength = 14
	ipLength    = 20
	tcpLength   = 20
	epmdPort    = 4369
)

// conversationIn returns the first connection that is not to EPMD. The captures
// are of whole Ethernet frames with IPv4, nothing is lost in them, and their
// addresses have no options.
func conversationIn(packets []mutate.Packet) conversation {
	var c conversation
	var client, server uint16
	var isn [2]uint32
	var began int64
	for _, p := range packets {
		if len(p.Data) < etherLength+ipLength+tcpLength || binary.BigEndian.Uint16(p.Data[12:]) != 0x0800 || p.Data[23] != 6 {
			continue
		}
		ip := p.Data[etherLength:]
		ip = ip[:binary.BigEndian.Uint16(ip[2:])]
		tcp := ip[ipLength:]
		src, dst := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
		seq, acked := binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
		if server == 0 && tcp[13] == syn && dst != epmdPort {
			client, server, began = src, dst, p.Time
			isn[0] = seq
		}
		fromServer := src == server && dst == client
		if server == 0 || !fromServer && (src != client || dst != server) {
			continue
		}
		if fromServer && tcp[13]&syn != 0 {
			isn[1] = seq
		}
		s := step{server: fromServer, at: p.Time - began, flags: tcp[13]}
		own, peer := isn[0], isn[1]
		if fromServer {
			own, peer = peer, own
		}
		s.seq = seq - own
		if s.flags&ack != 0 {
			s.ack = acked - peer
		}
		size := int(tcp[12]>>4) * 4
		s.options = tcp[tcpLength:size]
		s.fill(tcp[size:])
		c.steps = append(c.steps, s)
	}
	return c
}

// fill gives the step a payload, and finds its timestamp.
func (s *step) fill(payload []byte) {
	s.payload, s.sum = payload, sum(payload)
	s.stamp = -1
	for o := s.options; len(o) > 1 && o[0] != 0; {
		switch {
		case o[0] == 1:
			o = o[1:]
			continue
		case o[0] == 8:
			s.stamp = len(s.options) - len(o) + 2
		case o[1] < 2 || int(o[1]) > len(o):
			return
		}
		o = o[o[1]:]
	}
}

// open returns the conversation without its end.
func (c conversation) open() conversation {
	for i, s := range c.steps {
		if s.flags&fin != 0 {
			c.steps = c.steps[:i:i]
			return c
		}
	}
	return c
}

// last returns the index of the last record that a side sent: a tick, in
// the conversations that have any.
func (c conversation) last(server bool) int {
	for i := len(c.steps) - 1; i >= 0; i-- {
		if s := &c.steps[i]; s.server == server && len(s.payload) > 0 {
			return i
		}
	}
	return -1
}

// sent returns how far both streams are at the end of the conversation.
func (c conversation) sent() (client, server uint32) {
	for _, s := range c.steps {
		end := s.seq + uint32(len(s.payload))
		if s.flags&(syn|fin) != 0 {
			end++
		}
		if s.server {
			server = max(server, end)
		} else {
			client = max(client, end)
		}
	}
	return client, server
}

// A script adds steps behind those of a conversation.
type script struct {
	steps []step
	sent  [2]uint32 // by client and server
	acked [2]uint32 // what client and server have acknowledged
	at    int64
	plain []byte // options of a segment that is not a SYN
}

// then returns a script that goes on behind c.
func (c conversation) then() *script {
	s := &script{at: c.steps[len(c.steps)-1].at, plain: c.steps[len(c.steps)-1].options}
	s.sent[0], s.sent[1] = c.sent()
	s.acked = [2]uint32{s.sent[1], s.sent[0]}
	return s
}

func side(server bool) int {
	if server {
		return 1
	}
	return 0
}

// say adds a segment, 20 microseconds later, and the acknowledgement of
// everything sent so far.
func (s *script) say(server bool, payload []byte) {
	me := side(server)
	s.at += 20_000
	s.acked[me] = s.sent[1-me]
	x := step{server: server, at: s.at, seq: s.sent[me], ack: s.acked[me], flags: ack | psh, options: s.plain}
	if len(payload) == 0 {
		x.flags = ack
	}
	x.fill(payload)
	s.sent[me] += uint32(len(payload))
	s.steps = append(s.steps, x)
}

// stream adds payload in segments of at most size bytes, every second of which
// is acknowledged.
func (s *script) stream(server bool, payload []byte, size int) {
	for n := 1; len(payload) > 0; n++ {
		k := min(size, len(payload))
		s.say(server, payload[:k])
		payload = payload[k:]
		if n%2 == 0 || len(payload) == 0 {
			s.say(!server, nil)
		}
	}
}
