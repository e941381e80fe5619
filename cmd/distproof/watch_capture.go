package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/net/bpf"

	"distproof/capture/link"
	"distproof/capture/live"
	"distproof/decode"
)

// captureSettings are the flags of the commands that capture on interfaces.
type captureSettings struct {
	interfaces   []string
	namespace    string
	promiscuous  bool
	hardwareTime bool
	buffer       megabytes
	onlyHosts    networks
	onlyNets     networks
	onlyPorts    ports
	filter       string
}

func captureFlags(f *pflag.FlagSet, s *captureSettings) {
	s.buffer, s.onlyHosts.single = live.DefaultBuffer>>20, true
	f.SortFlags = false
	f.StringSliceVarP(&s.interfaces, "interface", "i", nil, "capture on `NAME`, or any for all (repeatable)")
	f.StringVar(&s.namespace, "netns", "", "capture in another network namespace, of `NAME|PID`")
	f.BoolVar(&s.promiscuous, "promiscuous", false, "also capture packets addressed to other hosts")
	f.Var(&s.buffer, "buffer", "let up to `MIB` of packets wait in the kernel")
	f.Var(&s.onlyHosts, "only-host", "only connections with an end at `ADDRESS` (repeatable)")
	f.Var(&s.onlyNets, "only-net", "only connections with an end in `NETWORK`, such as 10.0.0.0/8 (repeatable)")
	f.Var(&s.onlyPorts, "only-port", "only connections with an end at `PORT`, and EPMD (repeatable)")
	f.StringVar(&s.filter, "bpf", "", "capture only what the filter in `FILE` accepts; tcpdump -i INTERFACE -ddd makes one")
	f.BoolVar(&s.hardwareTime, "hardware-time", false, "use the timestamps of network cards that make them; their clocks must be in UTC")
}

// check finds what is wrong before anything is opened.
func (s *captureSettings) check() error {
	if len(s.interfaces) == 0 {
		return usagef("-i lo for nodes of this host, -i any for all interfaces", "name an interface to capture on: -i NAME")
	}
	return nil
}

// only is what the flags restrict to. The connections to EPMD are always among
// it: they name the nodes, and tell their ports.
func (s *captureSettings) only(epmd ports) link.Restriction {
	r := link.Restriction{Nets: slices.Concat(s.onlyHosts.list, s.onlyNets.list)}
	if len(s.onlyPorts) > 0 {
		r.Ports = slices.Concat(s.onlyPorts, ports{decode.EPMDPort}, epmd)
		slices.Sort(r.Ports)
		r.Ports = slices.Compact(r.Ports)
	}
	return r
}

// open begins to capture. With wait, interfaces that are not there, or down, are
// waited for.
func (s *captureSettings) open(recognised *settings, wait bool) (*live.Source, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	filter, err := readFilter(s.filter)
	if err != nil {
		return nil, err
	}
	return live.Open(live.Options{
		Interfaces: s.interfaces, Wait: wait, Namespace: s.namespace, Promiscuous: s.promiscuous,
		HardwareTime: s.hardwareTime, Buffer: s.buffer.bytes(),
		VXLANPorts: recognised.vxlanPorts, Only: s.only(recognised.epmdPorts), Filter: filter,
	})
}

// readFilter reads a filter program; "" is none.
func readFilter(path string) ([]bpf.RawInstruction, error) {
	const hint = "tcpdump -i INTERFACE -ddd EXPRESSION > FILE makes one"
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(hint, "--bpf", path, err)
	}
	defer f.Close()
	code, err := live.ParseFilter(f)
	if err != nil {
		return nil, usagef(hint, "--bpf %s: %v", path, err)
	}
	return code, nil
}

// networks is a flag that takes networks, or with single addresses, several times
// or with commas.
type networks struct {
	single bool
	list   []netip.Prefix
}

func (n *networks) Set(s string) error {
	for field := range strings.SplitSeq(s, ",") {
		network, err := n.parse(strings.TrimSpace(field))
		if err != nil {
			return err
		}
		n.list = append(n.list, network)
	}
	return nil
}

func (n *networks) parse(field string) (netip.Prefix, error) {
	if n.single {
		address, err := netip.ParseAddr(field)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, usagef("", "%q is not an IP address", field)
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(field)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, usagef("", "%q is not a network such as 10.0.0.0/8", field)
	}
	if network != network.Masked() {
		return netip.Prefix{}, usagef("", "%q has bits set beyond its length: %s?", field, network.Masked())
	}
	return network, nil
}

func (n *networks) String() string {
	var words []string
	for _, network := range n.list {
		if n.single {
			words = append(words, network.Addr().String())
		} else {
			words = append(words, network.String())
		}
	}
	return strings.Join(words, ",")
}

// Type is the name of the value in help texts.
func (n *networks) Type() string {
	if n.single {
		return "ADDRESS"
	}
	return "NETWORK"
}

// megabytes is a flag for the size of a ring.
type megabytes int

func (m *megabytes) bytes() int { return int(*m) << 20 }

func (m *megabytes) String() string { return fmt.Sprint(int(*m)) }

func (m *megabytes) Set(text string) error {
	const least, most = live.MinBuffer >> 20, live.MaxBuffer >> 20
	var n int
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil || fmt.Sprint(n) != text || n < least || n > most {
		return usagef("", "%q is not a number from %d to %d", text, least, most)
	}
	*m = megabytes(n)
	return nil
}

// Type is the name of the value in help texts.
func (m *megabytes) Type() string { return "MIB" }
