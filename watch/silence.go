package watch

import "distproof/decode"

// silence is how many seconds nodes may say nothing: net_ticktime, 60 s by default,
// and the quarter of it that may pass beyond it.
const silence = 75

// A quiet is how long the nodes of a connection were silent so far. They close it
// when the other said nothing for net_ticktime and a quarter of it: a connection that
// goes on after a longer silence has a longer net_ticktime.
type quiet struct {
	last    [2]uint32 // when data came, of the client and of the server
	longest uint32
}

// allows returns how long a connection may be silent, in seconds, with what came
// of it since.
func (q *quiet) allows(p *decode.Presence) uint32 {
	for side, at := range p.Data {
		if before := q.last[side]; before > 0 && at > before {
			q.longest = max(q.longest, at-before)
		}
	}
	q.last = p.Data
	if q.longest <= silence {
		return silence
	}
	return q.longest + q.longest/4 // they tick when they like to, within limits
}
