package main

import (
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"distproof/verify"
)

// lists are the flags that say who may take part, and which cookies are known.
type lists struct {
	epmdNetworks, networks verify.Networks
	nodes                  []verify.NodeGlob
	ports                  []verify.PortRange
	cookies                []string
}

func (l *lists) flags(f *pflag.FlagSet) {
	f.Var(&listFlag[netip.Prefix]{list: (*[]netip.Prefix)(&l.epmdNetworks), parse: verify.ParseNetwork, commas: true}, "epmd-allow",
		"EPMD may be reached from `CIDR` (repeatable; default loopback and private networks)")
	f.Var(&listFlag[verify.NodeGlob]{list: &l.nodes, parse: verify.ParseNodeGlob}, "allow-node",
		"only nodes whose names match `GLOB` may take part (repeatable)")
	f.Var(&listFlag[netip.Prefix]{list: (*[]netip.Prefix)(&l.networks), parse: verify.ParseNetwork, commas: true}, "allow-network",
		"only addresses in `CIDR` may take part (repeatable)")
	f.Var(&listFlag[verify.PortRange]{list: &l.ports, parse: verify.ParsePortRange, commas: true}, "allow-port",
		"nodes may listen only on `PORT|FROM-TO` (repeatable)")
	f.StringArrayVar(&l.cookies, "cookies", nil, "treat the cookies in `FILE`, one per line, as known too (repeatable)")
}

// A listFlag is a flag that is given several times, perhaps with commas.
type listFlag[T any] struct {
	list   *[]T
	parse  func(string) (T, error)
	commas bool
}

func (f *listFlag[T]) Set(s string) error {
	values := []string{s}
	if f.commas {
		values = strings.Split(s, ",")
	}
	for _, value := range values {
		x, err := f.parse(strings.TrimSpace(value))
		if err != nil {
			return usagef("", "%v", err)
		}
		*f.list = append(*f.list, x)
	}
	return nil
}

// String is the default value, of which there is none.
func (f *listFlag[T]) String() string { return "" }

// Type is the name of the value in help texts that name none.
func (f *listFlag[T]) Type() string { return "VALUE" }
