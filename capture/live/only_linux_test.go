package live

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"distproof/capture"
	"distproof/capture/link"
)

// The kernel leaves out what is not asked for.
func TestOnly(t *testing.T) {
	const asked, other = 7001, 7002
	a, b := pair(t)
	for _, interfaces := range [][]string{{"left"}, {Any}, {"lo", "left"}} {
		for _, only := range []link.Restriction{{Ports: []uint16{1, asked}}, {Nets: nets("10.9.0.2/32")}} {
			s := open(t, Options{Interfaces: interfaces, Namespace: a.name, Only: only})
			talk(t, a, b, fmt.Sprintf("10.9.0.2:%d", asked), 1000)
			talk(t, a, a, fmt.Sprintf("127.0.0.1:%d", other), 1000)
			talk(t, a, a, fmt.Sprintf("10.9.0.1:%d", other), 1000)
			check(t, all(t, s), 1000, map[bool]capture.LinkType{true: linkEthernet, false: linkCooked}[interfaces[0] == "left"])
			want := "(only host 10.9.0.2)"
			if len(only.Ports) > 0 {
				want = "(only port 1, port 7001)"
			}
			if in := s.Inputs()[0]; in.Path != strings.Join(interfaces, ",")+" "+want {
				t.Errorf("%q, want %q", in.Path, want)
			}
		}
	}
}

// A filter of one's own takes the place of the usual one, on the interfaces asked
// for.
func TestExpertFilter(t *testing.T) {
	// What tcpdump -i left -ddd tcp port 7001 prints, but for IPv6.
	filter, err := ParseFilter(strings.NewReader("11\n40 0 0 12\n21 0 8 2048\n48 0 0 23\n21 0 6 6\n177 0 0 14\n72 0 0 14\n21 2 0 7001\n72 0 0 16\n21 0 1 7001\n6 0 0 262144\n6 0 0 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := pair(t)
	for _, interfaces := range [][]string{{"left"}, {Any}, {"lo", "left"}} {
		s := open(t, Options{Interfaces: interfaces, Namespace: a.name, Filter: filter})
		talk(t, a, b, "10.9.0.2:7002", 1000)
		talk(t, a, b, "10.9.0.2:7001", 1000)
		if interfaces[0] != "left" {
			talk(t, a, a, "127.0.0.1:7002", 1000)
		}
		check(t, all(t, s), 1000, map[bool]capture.LinkType{true: linkEthernet, false: linkCooked}[interfaces[0] == "left"])
	}
	for _, tt := range []struct {
		filter []bpf.RawInstruction
		want   string
	}{
		{[]bpf.RawInstruction{{Op: 0x41}, {Op: 6}}, "the kernel refuses the filter: invalid argument"},
		{make([]bpf.RawInstruction, maxProgram), "instructions, of which"},
	} {
		if s, err := Open(Options{Interfaces: []string{"left"}, Namespace: a.name, Filter: tt.filter}); err == nil {
			s.Close()
			t.Error("opened")
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Error(err)
		}
	}
}

// An interface without a clock of its own leaves the times to the kernel.
func TestHardwareTime(t *testing.T) {
	a, b := pair(t)
	s := open(t, Options{Interfaces: []string{"left"}, Namespace: a.name, HardwareTime: true})
	talk(t, a, b, "10.9.0.2:0", 1000)
	check(t, all(t, s), 1000, linkEthernet)
}
