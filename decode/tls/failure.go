package tls

import (
	"distproof/decode/fact"
)

// failure finds out whether the handshake was ended. It is known only if
// nothing is missing from the capture: a refusal that was overtaken by
// something unseen is no refusal. What ends in bytes that are not TLS may go on
// in a way that is not understood, such as inside the messages of a VPN.
func (x *combiner) failure() {
	f := x.f
	f.Finished = x.bothFinished()
	if f.Established.Is() || !x.end.Whole || f.Foreign != [2]*Foreign{} || x.wentOn() && !x.refusedInside() {
		return
	}
	if a := x.fatalAlert(); a != nil {
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	if f.Established.Isnt() {
		a := &f.Alerts[len(f.Alerts)-1]
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	if !x.logged() {
		return // the handshake's end may be in what was not
	}
	if a := x.sealedRefusal(); a != nil {
		f.Alerts = append(f.Alerts, *a)
		f.Failure = &Failure{By: a.From, Alert: a, Basis: a.Basis}
		return
	}
	// With encrypted records of the client, it may have come further than sizes tell.
	if x.end.ClosedBy != RoleUnknown && !f.Finished && x.c.sealed.Application == 0 {
		f.Failure = &Failure{By: x.end.ClosedBy, Basis: fact.Observed}
	}
}

// refusedInside reports whether a key log shows that the server answered the
// client's handshake with an alert, however many records it took.
func (x *combiner) refusedInside() bool {
	return x.f.Established.Isnt() && x.f.Established.Basis == fact.Decrypted
}

// logged reports whether all records of both sides are in their logs.
func (x *combiner) logged() bool { return x.c.log.n < MaxRecords && x.s.log.n < MaxRecords }

func (x *combiner) fatalAlert() *SideAlert {
	for i, a := range x.f.Alerts {
		if a.Fatal {
			return &x.f.Alerts[i]
		}
	}
	return nil
}

// wentOn reports whether either side sent what comes after a handshake. The
// other's records may have been lost in a way that does not show.
func (x *combiner) wentOn() bool {
	if x.f.Version.Is13() {
		// The client's handshake is at most three records, and distribution's
		// first message and an alert may follow before it is turned away; the
		// server's is five, and an alert.
		return x.c.sealed.Application > 5 || x.s.sealed.Application > 7
	}
	return x.c.sealed.Application > 0 || x.s.sealed.Application > 0
}

// sealedRefusal finds a TLS 1.3 client that answers the server's flight with a
// record of an alert's size, or a side before TLS 1.3 whose encrypted alert
// takes the place of the handshake's end.
func (x *combiner) sealedRefusal() *SideAlert {
	if x.f.Server == nil || x.end.ClosedBy == RoleUnknown || x.f.Finished && !x.f.Version.Is13() {
		return nil
	}
	if x.f.Version.Is13() {
		records := x.c.data
		if len(records) == 1 && (shaper{x.f.Suite}).isAlert(records[0]) && x.c.sealed.Application == 1 {
			return &SideAlert{From: RoleClient, Basis: fact.Inferred, Frame: records[0].Frame}
		}
		return nil
	}
	for _, by := range []struct {
		*side
		role Role
	}{{x.s, RoleServer}, {x.c, RoleClient}} {
		if r := by.firstSealed(TypeAlert); r != nil {
			return &SideAlert{From: by.role, Basis: fact.Observed, Frame: r.Frame}
		}
	}
	return nil
}

// bothFinished reports whether both sides came to the end of their handshake,
// so that an orderly close is no refusal.
func (x *combiner) bothFinished() bool {
	if x.f.Version.Is13() {
		return x.f.ClientCertificate.Status != StatusUnknown
	}
	return finished12(x.c) != nil && finished12(x.s) != nil
}
