package decode_test

import (
	"slices"
	"testing"

	"distproof/decode"
	"distproof/decode/tls"
)

const elsewhere = "10.1.0.3:9100"

// resuming returns a session that resumes one.
func resuming(id, ticket string) session {
	return mutualSession.but(func(s *session) { s.resumed, s.offer, s.ticket = true, id, ticket })
}

func ticketed(ticket string) session {
	return mutualSession.but(func(s *session) { s.id, s.issue = "", ticket })
}

func TestResumption(t *testing.T) {
	const id = "session id of mutual TLS"
	for _, row := range []struct {
		name string
		play func(*talk)
		want int // index of the connection from which the last is resumed; -1 if none
	}{
		{"session id", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
		}, 0},
		{"ticket", func(t *talk) {
			t.dials(dialled, listening).tls12(ticketed("ticket 1"))
			t.dials("10.1.0.1:40002", listening).tls12(resuming("made up", "ticket 1"))
		}, 0},
		{"original one-way", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.asked = false }))
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
		}, 0},
		{"wrong server", func(t *talk) {
			t.dials(dialled, elsewhere).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
		}, -1},
		{"ticket of a wrong server", func(t *talk) {
			t.dials(dialled, elsewhere).tls12(ticketed("ticket 1"))
			t.dials("10.1.0.1:40002", listening).tls12(resuming("made up", "ticket 1"))
		}, -1},
		{"another port of the server", func(t *talk) {
			t.dials(dialled, "10.1.0.2:9101").tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
		}, -1},
		{"original not captured", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(resuming("another session", ""))
		}, -1},
		{"original afterwards", func(t *talk) {
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40003", listening).tls12(resuming("another", ""))
		}, -1},
		{"original not accepted", func(t *talk) {
			d := t.dials(dialled, listening).tls12(mutualSession)
			d.segments = d.segments[:len(d.segments)-6] // without the server's Finished
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, ""))
		}, -1},
		{"chain of tickets", func(t *talk) {
			t.dials(dialled, listening).tls12(ticketed("ticket 1"))
			t.dials("10.1.0.1:40002", listening).tls12(resuming("a", "ticket 1").but(func(s *session) { s.issue = "ticket 2" }))
			t.dials("10.1.0.1:40003", listening).tls12(resuming("b", "ticket 2").but(func(s *session) { s.issue = "ticket 3" }))
			t.dials("10.1.0.1:40004", listening).tls12(resuming("c", "ticket 3"))
		}, 0},
		{"chain of tickets without a beginning", func(t *talk) {
			t.dials("10.1.0.1:40002", listening).tls12(resuming("a", "ticket 1").but(func(s *session) { s.issue = "ticket 2" }))
			t.dials("10.1.0.1:40003", listening).tls12(resuming("b", "ticket 2"))
		}, -1},
		{"id and ticket of the same session", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession.but(func(s *session) { s.issue = "ticket 1" }))
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, "ticket 1"))
		}, 0},
		{"id of one session and ticket of another", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(ticketed("ticket 1").but(func(s *session) { s.asked = false }))
			t.dials("10.1.0.1:40003", listening).tls12(resuming(id, "ticket 1"))
		}, -1},
		{"id given twice", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(mutualSession.but(func(s *session) { s.asked = false }))
			t.dials("10.1.0.1:40003", listening).tls12(resuming(id, ""))
		}, -1},
		{"a ticket given twice, another once", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(mutualSession.but(func(s *session) { s.issue = "ticket 1" }))
			t.dials("10.1.0.1:40003", listening).tls12(resuming("made up", "ticket 1"))
		}, 1},
		{"another suite", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls12(resuming(id, "").but(func(s *session) { s.suite = 0xc030 }))
		}, -1},
		{"resumed by a key of TLS 1.3, with the id of a session of TLS 1.2", func(t *talk) {
			t.dials(dialled, listening).tls12(mutualSession)
			t.dials("10.1.0.1:40002", listening).tls13(mutualSession.but(func(s *session) { s.psk, s.offer = true, id }))
		}, -1},
		{"a ticket of TLS 1.2 in a full handshake", func(t *talk) {
			t.dials(dialled, listening).tls12(ticketed("ticket 1"))
			t.dials("10.1.0.1:40002", listening).tls12(mutualSession.but(func(s *session) { s.ticket, s.id = "ticket 1", "new" }))
		}, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			talk := newTalk()
			row.play(talk)
			c := talk.finish(decode.Options{}).Connections
			last := c[len(c)-1]
			if got := slices.Index(c, last.ResumedFrom); got != row.want {
				t.Errorf("resumed from connection %d, want %d", got, row.want)
			}
			if row.want >= 0 && last.TLS.ClientCertificate.Status != tls.Resumed {
				t.Errorf("certificate %s", last.TLS.ClientCertificate.Status)
			}
		})
	}
}
