//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A loader replays captures over a pair of interfaces, in namespaces of their own,
// while tcpdump and distproof capture at the other end.
type loader struct {
	common
	out       io.Writer
	folder    string
	distproof string
	command   string
	buffer    int // MiB, of each
	runs      int
	alone     bool
	from, to  string // namespaces
	limit     time.Duration
}

// The interfaces: what is replayed into one comes out of the other.
const (
	replayed = "replay"
	captured = "seen"
)

func load(args []string, w io.Writer) error {
	l := loader{out: w}
	flags := l.flags("load")
	rates := flags.String("rates", "100000,300000,top", "packets a second, with commas; top is as fast as it goes")
	program := flags.String("distproof", "bin/distproof", "the program that is measured")
	flags.StringVar(&l.command, "command", "watch", "the command that is measured: record or watch, with flags")
	flags.IntVar(&l.runs, "runs", 3, "how often each rate is replayed")
	flags.IntVar(&l.buffer, "buffer", 64, "MiB of the ring, of both programs")
	flags.BoolVar(&l.alone, "alone", false, "let the programs capture one after the other, not side by side")
	flags.DurationVar(&l.limit, "limit", 5*time.Minute, "how long a run may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names := flags.Args()
	if len(names) == 0 {
		names = []string{"mix", "small", "plain", "many"}
	}
	var err error
	if l.distproof, err = filepath.Abs(*program); err != nil {
		return err
	}
	for _, tool := range []string{"ip", "tcpdump", "tcpreplay", l.distproof} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	if l.folder, err = os.MkdirTemp("", "distproof-load-"); err != nil {
		return err
	}
	defer os.RemoveAll(l.folder)
	if err := l.connect(); err != nil {
		return err
	}
	defer l.disconnect()
	for _, name := range names {
		k, err := kindOf(name)
		if err == nil {
			err = l.kind(k, strings.Split(*rates, ","))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// connect makes the namespaces and the interfaces.
func (l *loader) connect() error {
	l.from, l.to = fmt.Sprintf("distproof-load-%d-a", os.Getpid()), fmt.Sprintf("distproof-load-%d-b", os.Getpid())
	for _, line := range []string{
		"netns add " + l.from,
		"netns add " + l.to,
		"-n " + l.from + " link add " + replayed + " type veth peer name " + captured + " netns " + l.to,
		"-n " + l.from + " link set " + replayed + " addrgenmode none",
		"-n " + l.to + " link set " + captured + " addrgenmode none",
		"-n " + l.from + " link set " + replayed + " up",
		"-n " + l.to + " link set " + captured + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			l.disconnect()
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

func (l *loader) disconnect() {
	for _, namespace := range []string{l.from, l.to} {
		_ = exec.Command("ip", "netns", "del", namespace).Run()
	}
}

// A captor is a program that captures, and what it said in the end.
type captor struct {
	name             string
	cmd              *exec.Cmd
	stdin            io.Closer // nil if a signal ends it
	stdout, stderr   bytes.Buffer
	packets, dropped uint64
}

// kind replays a capture at several rates.
func (l *loader) kind(k kind, rates []string) error {
	path := filepath.Join(l.folder, k.name+".pcap")
	if err := k.writeFile(path, l.common); err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	fmt.Fprintf(l.out, "\n### %s, scale %g\n\n", k.name, l.scale)
	w := tabwriter.NewWriter(l.out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| asked\t| packets/s\t| Gbit/s\t| packets\t| program\t| dropped in each run\t| processor time\t| a packet\t|")
	fmt.Fprintln(w, "|---:\t|---:\t|---:\t|---:\t|---\t|---:\t|---:\t|---:\t|")
	for _, rate := range rates {
		groups := [][]string{{"tcpdump", "distproof"}}
		if l.alone {
			groups = [][]string{{"tcpdump"}, {"distproof"}}
		}
		for _, group := range groups {
			if err := l.rate(w, path, rate, group); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// rate replays a capture several times, and tells of each program how much it lost
// each time, and of the run in which it lost least the rest.
func (l *loader) rate(w io.Writer, path, rate string, programs []string) error {
	type result struct {
		sent replay
		*captor
	}
	best := make([]result, len(programs))
	lost := make([][]string, len(programs))
	for range l.runs {
		sent, captors, err := l.run(path, rate, programs)
		if err != nil {
			return err
		}
		for i, c := range captors {
			lost[i] = append(lost[i], strconv.FormatUint(c.dropped, 10))
			if sent.packets != c.packets+c.dropped {
				return fmt.Errorf("%s captured %d packets and dropped %d, of %d", c.name, c.packets, c.dropped, sent.packets)
			}
			if best[i].captor == nil || c.dropped < best[i].dropped {
				best[i] = result{sent, c}
			}
		}
	}
	for i, r := range best {
		used := r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
		fmt.Fprintf(w, "| %s\t| %.0f\t| %.2f\t| %d\t| %s\t| %s\t| %.2f s\t| %.2f µs\t|\n",
			rate, r.sent.rate(), float64(r.sent.bytes)*8/r.sent.seconds/1e9, r.sent.packets, r.name, strings.Join(lost[i], ", "),
			used.Seconds(), float64(used.Microseconds())/float64(max(r.packets, 1)))
	}
	return nil
}

// run replays a capture once.
func (l *loader) run(path, rate string, programs []string) (sent replay, captors []*captor, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.limit)
	defer cancel()
	if captors, err = l.start(ctx, programs); err != nil {
		return sent, nil, err
	}
	if sent, err = l.replay(ctx, path, rate); err != nil {
		return sent, nil, err
	}
	// Kernels hand over what they have within a second.
	time.Sleep(time.Second)
	for _, c := range captors {
		if err := c.finish(); err != nil {
			return sent, nil, fmt.Errorf("%s: %w: %s", c.name, err, c.stderr.String())
		}
	}
	return sent, captors, nil
}

// start starts programs, and waits until they capture.
func (l *loader) start(ctx context.Context, programs []string) (captors []*captor, err error) {
	for _, name := range programs {
		c := l.captor(ctx, name)
		c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
		if err := c.cmd.Start(); err != nil {
			return nil, err
		}
		captors = append(captors, c)
	}
	return captors, l.ready(ctx, len(captors))
}

// captor returns a program that is to be started.
func (l *loader) captor(ctx context.Context, name string) *captor {
	c := &captor{name: name}
	if name == "tcpdump" {
		c.cmd = exec.CommandContext(ctx, "ip", "netns", "exec", l.to, "tcpdump", "-i", captured, "-n", "-Z", "root", "-B", strconv.Itoa(l.buffer<<10), "-w", os.DevNull)
		return c
	}
	command := strings.Fields(l.command)
	c.name += " " + command[0]
	args := append(command[:1:1], "-i", captured, "--netns", l.to, "--buffer", strconv.Itoa(l.buffer), "--exit-zero", "-q", "-o", "json")
	args = append(args, command[1:]...)
	records := command[0] == "record"
	if records {
		args = append(args, "--settle", "0s", "--", "cat")
	}
	c.cmd = exec.CommandContext(ctx, l.distproof, args...)
	if records {
		in, err := c.cmd.StdinPipe()
		if err == nil {
			c.stdin = in
		}
	}
	return c
}

// ready waits until n packet sockets are open where is captured.
func (l *loader) ready(ctx context.Context, n int) error {
	for {
		out, err := exec.CommandContext(ctx, "ip", "netns", "exec", l.to, "cat", "/proc/net/packet").Output()
		if err != nil {
			return fmt.Errorf("the programs do not begin to capture: %w", err)
		}
		if bytes.Count(out, []byte("\n")) == n+1 { // with a headline
			time.Sleep(200 * time.Millisecond) // until they are bound
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A replay is what tcpreplay sent.
type replay struct {
	packets, bytes uint64
	seconds        float64
}

func (r *replay) rate() float64 { return float64(r.packets) / r.seconds }

var replayActual = regexp.MustCompile(`Actual: (\d+) packets \((\d+) bytes\) sent in ([0-9.]+) seconds`)

func (l *loader) replay(ctx context.Context, path, rate string) (r replay, err error) {
	args := []string{"netns", "exec", l.from, "tcpreplay", "-i", replayed, "-K", "-q"}
	if rate == "top" {
		args = append(args, "--topspeed")
	} else {
		args = append(args, "--pps", rate)
	}
	out, err := exec.CommandContext(ctx, "ip", append(args, path)...).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("tcpreplay: %w: %s", err, out)
	}
	m := replayActual.FindSubmatch(out)
	if m == nil {
		return r, fmt.Errorf("tcpreplay does not tell what it sent: %s", out)
	}
	_, err = fmt.Sscan(string(bytes.Join(m[1:], []byte(" "))), &r.packets, &r.bytes, &r.seconds)
	return r, err
}

// finish ends a program and reads what it counted.
func (c *captor) finish() error {
	if c.stdin != nil {
		c.stdin.Close()
	} else if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	if err := c.cmd.Wait(); err != nil {
		return err
	}
	if c.name == "tcpdump" {
		return c.readTcpdump()
	}
	return c.readReport()
}

var tcpdumpCounts = regexp.MustCompile(`(?s)(\d+) packets captured\s.*?(\d+) packets dropped by kernel`)

func (c *captor) readTcpdump() error {
	m := tcpdumpCounts.FindSubmatch(c.stderr.Bytes())
	if m == nil {
		return errors.New("it does not tell its counts")
	}
	_, err := fmt.Sscan(string(bytes.Join(m[1:], []byte(" "))), &c.packets, &c.dropped)
	return err
}

func (c *captor) readReport() error {
	var doc struct {
		Inputs []struct{ Packets, Dropped uint64 }
	}
	if err := json.Unmarshal(c.stdout.Bytes(), &doc); err != nil {
		return err
	}
	for _, in := range doc.Inputs {
		c.packets += in.Packets
		c.dropped += in.Dropped
	}
	return nil
}
