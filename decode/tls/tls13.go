package tls

import (
	"fmt"

	"distproof/decode/fact"
)

// tls13 reads certificates and acceptance off record lengths, or off what a key log
// opens.
func (x *combiner) tls13() {
	f := x.f
	if why := x.unreadable13(); why != "" {
		x.unknown(why)
		return
	}
	shaper := shaper{f.Suite}
	client, server := x.c.data, x.s.data
	x.resumed13()
	sf, cf, ok := x.open13()
	switch {
	case ok:
		x.established13(shaper, client[cf.records-1], server[sf.records:])
		x.accept13(client[cf.records-1])
	case f.KeyLog == opened:
		x.unknownFlight(x.noFlight())
		return
	default:
		if sf, cf, ok = x.infer13(shaper); !ok {
			return
		}
		x.established13(shaper, client[cf.records-1], server[sf.records:])
	}
	x.distribution13(cf, sf, client, server)
}

// unreadable13 says why nothing can be read of the handshake; "" if it can.
func (x *combiner) unreadable13() string {
	f := x.f
	switch damage := x.damage(); {
	case f.Client != nil && f.Client.EarlyData:
		return "the client offered early data, whose records cannot be told from its handshake"
	case damage != "":
		return damage
	case f.Client == nil:
		return "the ClientHello is not in the capture"
	case f.Suite.finishedLength() == 0:
		return fmt.Sprintf("cipher suite %s: record sizes are not known", f.Suite)
	}
	return ""
}

// infer13 tells both sides' handshake by record lengths. It reports false, and why in
// the facts, if that is not possible.
func (x *combiner) infer13(shaper shaper) (sf, cf flight, ok bool) {
	f := x.f
	client, server := x.c.data, x.s.data
	unknown := func(why string) (_, _ flight, ok bool) {
		x.unknownFlight(why)
		return flight{}, flight{}, false
	}
	sf, why := shaper.server(server)
	if why != "" {
		return unknown(why)
	}
	if sf.psk != f.Server.PSK {
		return unknown(fmt.Sprintf("the server's record sizes do not fit its hello %v", lengths(server, 8)))
	}
	if !sf.psk {
		f.ServerCertificate = ServerCertificate{Basis: fact.Inferred, Possession: fact.Inferred}
	}
	cf, why = shaper.client(client)
	if why != "" {
		return unknown(why)
	}
	if !sentAfter(client[0], server[sf.records-1]) {
		return unknown(fmt.Sprintf("the client sent records before it had the server's Finished %v", lengths(client, 6)))
	}
	if x.clientCertificate13(sf, cf, server, client); f.ClientCertificate.Status == StatusUnknown {
		return unknown(f.ClientCertificate.Reason)
	}
	return sf, cf, true
}

// distribution13 looks for distribution's handshake behind that of TLS.
func (x *combiner) distribution13(cf, sf flight, client, server []Record) {
	f := x.f
	f.Shape = shape(f.Version, f.Suite, client[cf.records:], server[sf.records:])
	f.Distribution = f.Established.Is() && f.Shape.distribution(f.Client.ServerName, x.end.ClosedBy != RoleUnknown)
	f.MayAskLater = f.Client.PostHandshakeAuth && f.Shape.Stage != StageAck && !x.notAskedLater()
}

// notAskedLater reports whether all that the server sent behind its handshake
// was opened, and asked for no certificate.
func (x *combiner) notAskedLater() bool {
	o := x.s.opening
	return x.f.KeyLog == opened && o.stopped == "" && !o.asked
}

func (x *combiner) resumed13() {
	f := x.f
	if f.Server.PSK {
		if i := int(f.Server.Identity); i < len(f.Client.Identities) {
			f.Offered = f.Client.Identities[i : i+1]
		}
		f.Resumed = fact.YesBy(fact.Observed, "the server took the client's pre-shared key")
		return
	}
	f.Resumed = fact.NoBy(fact.Observed, "no pre-shared key in the ServerHello")
}

// noFlight says why the client's part of a handshake that was opened is not there.
func (x *combiner) noFlight() string {
	if len(x.f.Alerts) == 0 {
		return "the client's encrypted handshake is not in the capture"
	}
	return "the client refused the server's handshake"
}

// unknownFlight is unknown, but for what the hellos say.
func (x *combiner) unknownFlight(why string) {
	x.f.ClientCertificate.Reason = why
	x.f.ClientCertificate.Requested = fact.UnknownBecause(why)
	x.f.Established = fact.UnknownBecause(why)
}

// requestedBySizes holds only beside a client's flight that agrees: a
// certificate that is split looks like a request and a certificate.
func (x *combiner) requestedBySizes(sf flight, server []Record) fact.Fact {
	sizes := x.tables().sizesText("record sizes %v", lengths(server, sf.records))
	if sf.requested {
		return fact.YesBy(fact.Inferred, sizes)
	}
	return fact.NoBy(fact.Inferred, sizes)
}

func (x *combiner) clientCertificate13(sf, cf flight, server, client []Record) {
	c := &x.f.ClientCertificate
	x.f.Flight = client[0].Frame
	sizes := x.tables().sizesText("server's record sizes %v, client's %v", lengths(server, sf.records), lengths(client, cf.records))
	switch {
	case sf.psk && cf.status == NotRequested:
		c.Status, c.Basis, c.Reason = Resumed, fact.Observed, "resumed with a pre-shared key"
		c.Requested = x.requestedBySizes(sf, server)
	case sf.requested != (cf.status != NotRequested) || sf.psk:
		c.Reason = "contradictory: " + sizes
	case cf.status == Presented && x.f.Client.offersRawKeys():
		c.Reason = "the client offers bare public keys in place of certificates (RFC 7250), and sizes do not tell them apart"
	default:
		c.Requested = x.requestedBySizes(sf, server)
		c.Status, c.Basis, c.Reason = cf.status, fact.Inferred, sizes
		if cf.status == Presented {
			c.Possession = fact.Inferred
		}
	}
}

// over reports whether the connection was closed in an orderly way, and nothing
// of it is missing.
func (x *combiner) over() bool { return x.end.Whole && x.end.Orderly }

// answersAlert reports whether the client's last record was sent when it had the
// server's alert: OTP's client, told of a refusal, still says close_notify.
func (x *combiner) answersAlert(alert Record) bool {
	n := len(x.c.data)
	return n > 0 && x.c.data[n-1].End() == x.c.lastSealed().End() && sentAfter(x.c.data[n-1], alert)
}

// established13 looks for the server's first record after the client's Finished.
func (x *combiner) established13(shaper shaper, finished Record, server []Record) {
	f := x.f
	var first Record // of those after it
	after := 0
	for _, r := range server {
		if !sentAfter(r, finished) {
			continue
		}
		if after++; after == 1 {
			first = r
		}
	}
	switch {
	case after == 0:
		f.Unanswered = len(server) == 0 && x.over()
		f.Established = fact.UnknownBecause("no record of the server after the client's Finished is in the capture")
	case after == 1 && !shaper.isAlert(first) && !shaper.isStatus(first):
		// An alert may be padded to any length, but nothing follows it.
		f.Established = fact.UnknownBecause(fmt.Sprintf("the server's only record after the client's Finished, of %d bytes, may be a padded alert", first.Length))
	case !shaper.isAlert(first):
		f.Established = fact.YesBy(fact.Inferred, x.tables().sizesText("the server went on with a record of %d bytes", first.Length))
	case after > 1 || x.s.sealed.Application > uint64(len(x.s.data)):
		f.Established = fact.UnknownBecause("the server's first record after the client's Finished has an alert's size, but others follow")
	case x.end.ClosedBy == RoleClient && (x.end.ClientHad < first.End() || shaper.isAlert(x.c.lastSealed()) && !x.answersAlert(first)),
		shaper.isAlert(x.c.lastSealed()) && sentAfter(first, x.c.lastSealed()):
		// The server's alert may be no more than an answer to that.
		f.Unanswered = len(server) == 1 && x.over()
		f.Established = fact.UnknownBecause("the client closed the connection before the server answered")
	case x.end.ClosedBy == RoleUnknown:
		f.Established = fact.UnknownBecause("the server answered with a record of an alert's size, and the connection's end is not in the capture")
	default:
		f.Established = fact.NoBy(fact.Inferred, "the server answered with a record of an alert's size")
		f.Alerts = append(f.Alerts, SideAlert{From: RoleServer, Basis: fact.Inferred, Frame: first.Frame})
	}
}
