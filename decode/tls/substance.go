package tls

import "distproof/decode/fact"

// Substance adds to d what the facts of s are stated from, but for what grows with
// every record of application data.
func (s *Stream) Substance(d *fact.Digest) {
	if s.secrets != nil {
		d.Add(s.sealed.Application) // what was opened may tell anything
	}
	if s.tentative { // what it is held for depends on whether a record is whole
		d.Add(uint64(s.since))
		d.Flags(s.have == 0, s.left == 0)
	}
	d.Flags(s.confirmed, s.tentative, s.lostOnce, s.ccs, s.retried, s.unkept, s.certificate, s.foreign != nil, s.hello != nil, s.server != nil,
		s.sealed.Application > 0)
	d.Add(uint64(s.status), uint64(s.role), uint64(min(s.log.n, tellingRecords)), s.sealed.Handshake, s.sealed.Alerts)
	d.Add(uint64(len(s.damage)), uint64(len(s.messages)), uint64(len(s.tickets)), uint64(len(s.alerts)))
}

// Beat reports what [Facts] say in Ticks and Ticking, of two directions of which
// either may be nil.
func Beat(a, b *Stream) (some, even bool) {
	var none Stream
	if a == nil {
		a = &none
	}
	if b == nil {
		b = &none
	}
	return spaced(a, b), ticking(a, b)
}

// tellingRecords is how many records of a direction are news: those of the
// handshakes of TLS and of distribution, and what comes behind them.
const tellingRecords = 12
