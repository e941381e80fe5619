//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// hostCount is how many hosts a network has; a three-node cluster needs three.
const hostCount = 3

func shortName(host int) string { return fmt.Sprintf("n%d", host) }
func hostName(host int) string  { return shortName(host) + ".lab" }

// network is a bridge in a namespace of its own and hosts, each a namespace,
// plugged into it. The host machine's own network is not touched.
type network struct {
	id     string
	subnet string // first three bytes of the addresses that node names resolve to
}

// newNetwork makes the namespaces and their links. With overlay, names resolve
// to addresses inside a VXLAN on UDP 8472, which is what flannel makes, and
// the bridge sees the tunnel's outside.
func newNetwork(ctx context.Context, overlay bool) (*network, error) {
	n := &network{id: fmt.Sprintf("distproof-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6), subnet: "10.30.0"}
	steps := []string{
		"netns add " + n.bridge(),
		"-n " + n.bridge() + " link add br0 type bridge",
		"-n " + n.bridge() + " link set br0 up",
	}
	for i := 1; i <= hostCount; i++ {
		steps = append(steps, n.plug(i)...)
	}
	if overlay {
		n.subnet = "10.42.0"
		for i := 1; i <= hostCount; i++ {
			steps = append(steps, n.tunnel(i)...)
		}
	}
	for _, step := range steps {
		if _, err := command(ctx, "ip", strings.Fields(step)...); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

func (n *network) bridge() string            { return n.id + "-br" }
func (n *network) namespace(host int) string { return fmt.Sprintf("%s-n%d", n.id, host) }
func (n *network) address(host int) string   { return fmt.Sprintf("%s.%d", n.subnet, host) }
func (n *network) underlay(host int) string  { return fmt.Sprintf("10.30.0.%d", host) }
func (n *network) in(host int) []string      { return []string{"netns", "exec", n.namespace(host)} }

func (n *network) plug(host int) []string {
	ns := n.namespace(host)
	return []string{
		"netns add " + ns,
		fmt.Sprintf("-n %s link add p%d type veth peer name eth0 netns %s", n.bridge(), host, ns),
		fmt.Sprintf("-n %s link set p%d master br0 up", n.bridge(), host),
		"-n " + ns + " link set lo up",
		"-n " + ns + " link set eth0 up",
		fmt.Sprintf("-n %s addr add %s/24 dev eth0", ns, n.underlay(host)),
	}
}

// tunnel gives a host an end of VXLAN 1, with a flood entry for each other
// host: there is no multicast group and no control plane here.
func (n *network) tunnel(host int) []string {
	ns := n.namespace(host)
	steps := []string{
		fmt.Sprintf("-n %s link add flannel.1 type vxlan id 1 dstport 8472 local %s dev eth0", ns, n.underlay(host)),
		fmt.Sprintf("-n %s link set flannel.1 up", ns),
		fmt.Sprintf("-n %s addr add %s/24 dev flannel.1", ns, n.address(host)),
	}
	for i := 1; i <= hostCount; i++ {
		if i != host {
			steps = append(steps, fmt.Sprintf("netns exec %s bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst %s", ns, n.underlay(i)))
		}
	}
	return steps
}

// resolver is an Erlang inetrc that knows the lab's hosts and asks
// nobody else, so that no file under /etc has to change.
func (n *network) resolver() []string {
	lines := []string{`{hosts_file,""}.`, `{lookup,[file]}.`}
	for i := 1; i <= hostCount; i++ {
		lines = append(lines, fmt.Sprintf(`{host,{%s},["%s","%s"]}.`, strings.ReplaceAll(n.address(i), ".", ","), hostName(i), shortName(i)))
	}
	return lines
}

// close removes the namespaces, and with them all their links. It runs with a
// context of its own: it must also work after an interrupt.
func (n *network) close() error {
	names, err := command(context.Background(), "ip", "netns", "list")
	if err != nil {
		return err
	}
	var errs []error
	for _, line := range strings.Split(names, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], n.id+"-") {
			continue
		}
		if _, err := command(context.Background(), "ip", "netns", "del", fields[0]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
