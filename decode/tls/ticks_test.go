package tls

import (
	"testing"
	"time"
)

// beats are records of one length at the given times, in seconds.
func beats(length int, times ...float64) *Stream {
	s := NewStream(Midstream)
	for _, at := range times {
		s.record = Record{Type: TypeApplicationData, Sealed: true, Length: length, Time: int64(at * float64(time.Second))}
		s.finishRecord()
	}
	return s
}

func TestTicking(t *testing.T) {
	nothing := NewStream(Midstream)
	talking := beats(500, 3)
	for name, r := range map[string]struct {
		a, b          *Stream
		ticking, some bool
	}{
		"TLS 1.3, both":                   {beats(21, 0, 15, 30), beats(21, 7, 22, 37), true, true},
		"TLS 1.2, AES-GCM":                {beats(28, 0, 15, 30), beats(28, 7, 22), true, true},
		"TLS 1.2, ChaCha20":               {beats(20, 0, 15, 30), beats(20, 7, 22), true, true},
		"a little uneven":                 {beats(21, 0, 15, 30.5), beats(21, 7, 22), true, true},
		"one direction, the other silent": {beats(21, 0, 15, 30, 45), nothing, true, true},
		"one direction, three":            {beats(21, 0, 15, 30), nothing, false, true},
		"one direction, the other talks":  {beats(21, 0, 15, 30, 45), talking, false, true},
		"two in each":                     {beats(21, 0, 15), beats(21, 1, 16), true, true},
		"two in each, at other intervals": {beats(21, 0, 15), beats(21, 1, 30), false, true},
		"two in each, too near":           {beats(21, 0, 0.5), beats(21, 1, 1.5), false, false},
		"two in each, too far apart":      {beats(21, 0, 700), beats(21, 1, 701), false, false},
		"of different lengths":            {beats(21, 0, 15), beats(28, 1, 16), false, false},
		"of another length":               {beats(22, 0, 15, 30, 45), beats(22, 1, 16, 31), false, false},
		"uneven":                          {beats(21, 0, 15, 45, 50), beats(21, 1, 9, 40), false, true},
		"nothing":                         {nothing, nothing, false, false},
		"the shortest interval":           {beats(21, 0, 0.95, 1.9, 2.85), nothing, true, true},
		"one of them":                     {beats(21, 0), beats(21, 15), false, false},
	} {
		for i, pair := range [][2]*Stream{{r.a, r.b}, {r.b, r.a}} {
			f := Combine(pair[0], pair[1], Ending{})
			if f.Ticking != r.ticking || f.Ticks != r.some {
				t.Errorf("%s, order %d: ticking %t, ticks %t", name, i, f.Ticking, f.Ticks)
			}
		}
	}
	if f := Combine(beats(21, 0, 15, 30, 45), nil, Ending{}); !f.Ticking {
		t.Error("not ticking, where the other direction was not captured")
	}
}
