package report

import (
	"distproof/decode"
	"distproof/decode/fact"
)

func newNode(n *decode.Node) Node {
	out := Node{
		Name: n.Name, Basis: n.Basis, Addresses: []string{}, Ports: append([]uint16{}, n.Ports...), Creations: append([]uint32{}, n.Creations...),
		Hidden: known(n.Hidden), Implementation: map[fact.Value]string{fact.Yes: "erts", fact.No: "other"}[n.ERTS.Value],
	}
	for _, a := range n.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if n.AtLeast > 0 {
		out.OTPRelease = &OTPRelease{AtLeast: n.AtLeast, Basis: n.AtLeastBasis.String()}
	}
	switch {
	case n.Cleartext && n.TLS:
		out.Listener = "both"
	case n.Cleartext:
		out.Listener = "cleartext"
	case n.TLS:
		out.Listener = "tls"
	}
	return out
}
