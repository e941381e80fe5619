package live

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
)

// MaxSockets is how many sockets are listed at most: a list that long may lack some.
const MaxSockets = 1 << 18

// A Socket is a TCP socket that the kernel has.
type Socket struct {
	// Local and Remote are its ends; a listener's Remote is zero. IPv4 addresses
	// are plain, also those of IPv6 sockets.
	Local, Remote netip.AddrPort
	// Listening says that it takes connections; else it is one that is up.
	Listening bool
	// Received and Sent count the bytes of the stream that came, and those that
	// the other end said to have, of which the end that opened the connection has
	// one too many; zero for listeners.
	Received, Sent uint64
	// Process has it open; zero if that could not be found out, for example of
	// another user's.
	Process Process
}

// Compare orders sockets by their ends.
func (s Socket) Compare(t Socket) int {
	return cmp.Or(s.Local.Compare(t.Local), s.Remote.Compare(t.Remote), cmp.Compare(s.Process.ID, t.Process.ID))
}

// OneEach returns the first socket of each connection: one whose both ends are on
// this host has two.
func OneEach(sockets []Socket) []Socket {
	type ends [2]netip.AddrPort
	known := make(map[ends]bool, len(sockets))
	var out []Socket
	for _, s := range sockets {
		if !known[ends{s.Remote, s.Local}] {
			known[ends{s.Local, s.Remote}] = true
			out = append(out, s)
		}
	}
	return out
}

// A Process is one that has sockets open.
type Process struct {
	ID int
	// Name is the name of its program as the kernel knows it, such as beam.smp,
	// cut to 15 bytes. Processes choose it themselves: it may hold anything.
	Name string
	// Container is the id of its container, as the control group tells; empty if
	// it is in none that is known.
	Container string
}

// containerID is how Docker, containerd, CRI-O and Podman name control groups:
// docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, or
// the ID alone.
var containerID = regexp.MustCompile(`(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?:$|/)`)

// containerOf finds the container in what /proc/PID/cgroup says: lines as
// "NUMBER:CONTROLLERS:PATH". The innermost one counts.
func containerOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if m := containerID.FindAllStringSubmatch(fields[len(fields)-1], -1); len(m) > 0 {
			return m[len(m)-1][1]
		}
	}
	return ""
}
