package mutate

// An interfaceView is what one interface of a host sees of a packet.
type interfaceView struct {
	delay  int64 // behind the first interface, in nanoseconds
	encaps Encapsulation
}

// AnyInterfaces shows every packet as "tcpdump -i any" does on a host whose
// packets pass three interfaces: a container's end, a VXLAN interface, and the
// network card, where it is inside the tunnel. The delays between them are
// longer than the time between packets often is, so that the three views of
// neighbouring packets mix.
func AnyInterfaces(packets []Packet) []Packet {
	tunnel := []wrap{bridged, vxlan(portVXLANLinux), outerIPv4.carry}
	views := []interfaceView{
		{0, Encapsulation{LinkType: linkCooked2, link: cooked2Link(7)}},
		{15_000, Encapsulation{LinkType: linkCooked2, link: cooked2Link(5)}},
		{40_000, Encapsulation{LinkType: linkCooked2, link: cooked2Link(2), wraps: tunnel}},
	}
	var out []Packet
	for _, view := range views {
		for _, p := range view.encaps.Apply(packets) {
			p.Time += view.delay
			out = append(out, p)
		}
	}
	return byTime(out)
}
