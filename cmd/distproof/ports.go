package main

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

func portFlags(f *pflag.FlagSet, s *settings) {
	f.Var(&s.ports, "port", "treat connections to `PORT` as connections between nodes (repeatable)")
	f.Var(&s.epmdPorts, "epmd-port", "EPMD also listens on `PORT`, besides 4369 (repeatable)")
	f.Var(&s.vxlanPorts, "vxlan-port", "VXLAN also uses UDP `PORT`, besides 4789 and 8472 (repeatable)")
}

// ports is a flag that takes port numbers, several times or with commas.
type ports []uint16

func (p *ports) Set(s string) error {
	for field := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(field), 10, 16)
		if err != nil || n == 0 {
			return usagef("", "%q is not a port (1 to 65535)", field)
		}
		*p = append(*p, uint16(n))
	}
	return nil
}

func (p *ports) String() string {
	var words []string
	for _, n := range *p {
		words = append(words, strconv.Itoa(int(n)))
	}
	return strings.Join(words, ",")
}

// Type is the name of the value in help texts.
func (p *ports) Type() string { return "PORT" }
