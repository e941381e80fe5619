//go:build linux && lab

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"distproof/report"
)

// TestSoakLive: a watch on an interface sees connections open and close, as many
// as DISTPROOF_SOAK says, with nodes that restart and ports that are used again,
// while a policy is wrong, the disk is full, nobody reads the events, an interface is
// not there, and the one that is captured goes away and comes back. Its memory does
// not grow with them, and it claims of none what is not so. Then it is killed, and
// another one goes on. `make soak-live` has 1,000,000 connections, `make labtest` a few.
func TestSoakLive(t *testing.T) {
	connections, rate := 6_000, 1_500
	for name, n := range map[string]*int{"DISTPROOF_SOAK": &connections, "DISTPROOF_SOAK_RATE": &rate} {
		if text := os.Getenv(name); text != "" {
			var err error
			if *n, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := &soak{T: t, loader: newLoader(t, "watch", 64), total: connections, rate: rate}
	s.prepare()
	w := s.watch("absent")
	t.Logf("%9s %8s %10s %12s %10s %8s", "sent", "seconds", "RSS MiB", "KiB a conn.", "packets", "dropped")

	const parts = 20
	for part := range parts {
		switch part {
		case 1:
			s.await(w, "packets cannot be saved", "no space left on device")
			s.must(os.Remove(s.ballast))
		case 3:
			s.await(w, "packets are saved again")
		case 4:
			s.replacePolicy("nonsense: true\n")
			s.must(w.cmd.Process.Signal(syscall.SIGHUP))
			s.await(w, `"event":"policy"`, "not taken")
		case 6:
			s.replacePolicy("version: 1\n")
			s.must(w.cmd.Process.Signal(syscall.SIGHUP))
			s.await(w, `"event":"policy"`, "read anew")
		case 8:
			w.reading.Lock()
		case 9:
			w.reading.Unlock()
			if connections >= enough {
				s.await(w, `"event":"omitted"`)
			}
		case 12, 14:
			s.settle(w)
			s.unplug()
			s.await(w, `"event":"interface"`, captured, "down or gone")
			s.plug()
			s.await(w, `"event":"interface"`, captured, "is back")
		}
		s.send(part*connections/parts, (part+1)*connections/parts)
		s.measure(w)
	}
	s.settle(w)
	s.holdToTruth(w)
	s.memoryIsFlat()
	s.Logf("events told of %d connections that they are over; of %d something was not told", w.closed.Load(), w.omitted.Load())
	if told := uint64(w.closed.Load() + w.omitted.Load()); told > s.connections() {
		t.Errorf("events told of %d connections, and counted others, of %d", told, s.connections())
	}

	s.must(w.cmd.Process.Kill())
	_ = w.cmd.Wait()
	before := s.readSaved()
	w = s.watch("absent")
	s.send(connections, connections+connections/parts)
	s.settle(w)
	s.holdToTruth(w)
	s.must(w.cmd.Process.Signal(syscall.SIGTERM))
	if err := w.cmd.Wait(); w.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ends with %v", err)
	}
	if after := s.readSaved(); len(after) == 0 || after[len(after)-1] <= before[len(before)-1] {
		t.Errorf("saved before it was killed: %q; after: %q", before, after)
	}
}

// enough connections fill what is remembered of those that are over, and what waits
// to be written, so that it shows what becomes of more.
const enough = 200_000

// patience is how long a machine may take on which others work.
const patience = 10 * time.Minute

// A soak is a long run with faults.
type soak struct {
	*testing.T
	*loader
	total, rate          int
	dir, ballast, policy string
	classes              []conversation
	open                 []conversation // that stay
	long                 []*script      // how they go on
	sender               *os.File
	frame                []byte
	samples              []sample
	// Since a watch started: when that was, and what was sent.
	began   time.Time
	packets uint64
	sent    map[string]uint64 // connections by verdict
}

// A sample is what the watch took at a moment.
type sample struct {
	resident  uint64  // bytes
	allocated float64 // bytes by Go, ever
	sent      uint64  // connections
}

func (s *soak) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// prepare makes the disk that will be full, the policy, and what is sent.
func (s *soak) prepare() {
	dir, err := os.MkdirTemp("", "distproof-soak-") // where the user may look
	s.must(err)
	s.Cleanup(func() { os.RemoveAll(dir) })
	s.must(os.Chmod(dir, 0o755))
	s.dir = filepath.Join(dir, "disk")
	s.must(os.Mkdir(s.dir, 0o755))
	s.must(syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=48m"))
	s.Cleanup(func() { _ = syscall.Unmount(s.dir, syscall.MNT_DETACH) })
	s.ballast = filepath.Join(s.dir, "ballast")
	s.must(os.WriteFile(s.ballast, make([]byte, 48<<20-256<<10), 0o600))
	s.policy = filepath.Join(dir, "conf", "policy.yaml")
	s.must(os.Mkdir(filepath.Dir(s.policy), 0o755))
	s.replacePolicy("version: 1\n")

	real, err := loadTemplates("..")
	s.must(err)
	for i, c := range mixed(real) {
		name := []string{7: "mutual_tls12", 8: "oneway_tls13", 9: "empty_accepted_tls13"}[i]
		switch {
		case i == 5:
			name = "plain"
		case name == "":
			name = "mutual_tls13"
		}
		s.classes = append(s.classes, real[name])
		s.open = append(s.open, c)
	}
	s.openSender()
}

func (s *soak) replacePolicy(text string) {
	s.Helper()
	s.must(os.WriteFile(s.policy+".new", []byte(text), 0o644))
	s.must(os.Rename(s.policy+".new", s.policy))
}

// A soaked watch is one that runs.
type soaked struct {
	cmd    *exec.Cmd
	said   chan string // what matters of its events, and its log
	served string
	// reading is locked while nobody reads the events.
	reading sync.Mutex
	// closed counts the events of connections that are over, and omitted the
	// connections of which not everything was told.
	closed, omitted atomic.Int64
}

// watch starts a watch, and opens the connections that stay.
func (s *soak) watch(more ...string) *soaked {
	s.Helper()
	w := &soaked{said: make(chan string, 10_000)}
	args := []string{
		"watch", "--netns", s.to, "-i", captured, "--sandbox", "required", "--max-memory", "1G",
		"-o", "ndjson", "--policy", s.policy, "--save", filepath.Join(s.dir, "saved"), "--save-size", "32", "--listen", "127.0.0.1:0",
	}
	for _, name := range more {
		args = append(args, "-i", name)
	}
	w.cmd = exec.Command(s.distproof, args...)
	stdout, err := w.cmd.StdoutPipe()
	s.must(err)
	stderr, err := w.cmd.StderrPipe()
	s.must(err)
	s.must(w.cmd.Start())
	s.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	go w.read(gated{stdout, &w.reading}, `"event":"omitted"`, `"event":"policy"`, `"event":"interface"`, `"event":"blind"`, `"event":"started"`)
	go w.read(stderr, "")
	w.served = regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(s.await(w, "serving"))[1]
	s.await(w, `"event":"started"`)
	s.began, s.packets, s.sent, s.long = time.Now(), 0, make(map[string]uint64), nil
	for i, c := range s.open {
		f := s.longFlow(i)
		for k := range c.steps {
			s.packet(&f, &c.steps[k])
		}
		s.long = append(s.long, c.then())
		s.sent[c.verdict]++
	}
	return w
}

// A gated reader does not read while somebody holds the gate.
type gated struct {
	io.Reader
	gate *sync.Mutex
}

func (g gated) Read(p []byte) (int, error) {
	g.pass()
	return g.Reader.Read(p)
}

func (g gated) pass() {
	g.gate.Lock()
	defer g.gate.Unlock()
}

// read hands on the lines that have one of some texts near their beginning. It does not
// wait, so that only what is meant to is too slow for the watch.
func (w *soaked) read(r io.Reader, texts ...string) {
	const near = 200
	for lines := bufio.NewReaderSize(r, 1<<20); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		head := string(line[:min(len(line), near)])
		if strings.Contains(head, `"event":"closed"`) {
			w.closed.Add(1)
		}
		if m := omitted.FindStringSubmatch(head); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			w.omitted.Add(n)
		}
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(head, text) }) {
			continue
		}
		select {
		case w.said <- string(line):
		default:
		}
	}
}

// await waits for a line with some words. Connections that stay tick meanwhile.
func (s *soak) await(w *soaked, words ...string) string {
	s.Helper()
	deadline, ticks := time.After(patience), time.NewTicker(time.Second)
	defer ticks.Stop()
	var other []string
	for {
		select {
		case line := <-w.said:
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				return line
			}
			other = append(other, line)
		case <-ticks.C:
			s.tick()
		case <-deadline:
			s.Fatalf("it does not say %q, but %q", words, other)
		}
	}
}

// send opens and closes connections, from one number to another, many at a time,
// and no faster than the rate. Connections that stay tick.
func (s *soak) send(from, to int) {
	s.Helper()
	const together = 50
	next := time.Now()
	for ; from < to; from += together {
		n := min(together, to-from)
		var flows [together]flow
		for i := range n {
			flows[i] = s.flow(from + i)
			s.sent[s.classes[(from+i)%classes].verdict]++
		}
		for k := range 40 {
			for i := range n {
				c := &s.classes[(from+i)%classes]
				if k < len(c.steps) {
					s.packet(&flows[i], s.born(&c.steps[k], from+i))
				}
			}
		}
		if from%5_000 == 0 {
			s.tick()
		}
		next = next.Add(time.Second * time.Duration(n) / time.Duration(s.rate))
		time.Sleep(time.Until(next))
	}
}

// flow is the n-th connection. After 40,000, addresses and ports are those of the
// first again. One in a hundred comes from elsewhere, as scanners do.
func (s *soak) flow(n int) flow {
	const reused = 40_000
	f := flowOf(n % reused)
	f.server = [4]byte{10, 128, 0, byte(n % classes)}
	if n/classes%100 == 0 {
		f.client = [4]byte{10, 80, byte(n >> 16), byte(n >> 8)}
	}
	h := scramble(uint64(n) + 1<<32)
	f.isn = [2]uint32{uint32(h), uint32(h >> 32)}
	return f
}

func (s *soak) longFlow(i int) flow {
	f := flowOf(i)
	f.client, f.server = [4]byte{10, 65, 0, byte(i)}, [4]byte{10, 128, 1, byte(i)}
	f.begin = s.began.UnixNano()
	return f
}

// born gives the node that says its name another creation: it was started again.
func (s *soak) born(x *step, n int) *step {
	const creation = 2 + 1 + 8 // length, tag, flags (ERTS User's Guide, Distribution Protocol)
	if len(x.payload) < creation+4 || x.payload[2] != 'N' || n%classes != 5 || x.server {
		return x
	}
	again := *x
	payload := bytes.Clone(x.payload)
	binary.BigEndian.PutUint32(payload[creation:], uint32(n/1_000+1))
	again.fill(payload)
	return &again
}

// tick has connections that stay tick.
func (s *soak) tick() {
	if s.sender == nil {
		return
	}
	for i, l := range s.long {
		c, f := s.open[i], s.longFlow(i)
		l.steps = nil
		for _, server := range []bool{false, true} {
			l.say(server, c.steps[c.last(server)].payload)
			l.say(!server, nil)
		}
		for k := range l.steps {
			s.packet(&f, &l.steps[k])
		}
	}
}

// openSender opens the interface that is sent into.
func (s *soak) openSender() {
	s.Helper()
	type opened struct {
		fd  int
		err error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // and the thread ends with this: it is in another namespace
		fd, err := packetSocket("/run/netns/"+s.from, replayed)
		done <- opened{fd, err}
	}()
	o := <-done
	s.must(o.err)
	s.sender = os.NewFile(uintptr(o.fd), replayed)
}

func packetSocket(namespace, name string) (int, error) {
	ns, err := os.Open(namespace)
	if err != nil {
		return -1, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: int(request.Uint32())})
}

// packet sends a step of a connection.
func (s *soak) packet(f *flow, x *step) {
	s.Helper()
	w := writer{packets: s.packets}
	var headers [256]byte
	n := w.segment(headers[:], f, x, time.Since(s.began).Nanoseconds(), 0, 0)
	s.frame = append(append(s.frame[:0], headers[:n]...), x.payload...)
	if _, err := s.sender.Write(s.frame); err != nil {
		s.Fatalf("packet %d: %v", s.packets, err)
	}
	s.packets++
}

// unplug takes the interfaces away, plug makes others of the same names.
func (s *soak) unplug() {
	s.Helper()
	s.sender.Close()
	s.sender = nil
	s.ip("-n " + s.from + " link del " + replayed)
}

func (s *soak) plug() {
	s.Helper()
	s.ip("-n " + s.from + " link add " + replayed + " type veth peer name " + captured + " netns " + s.to)
	s.ip("-n " + s.from + " link set " + replayed + " addrgenmode none up")
	s.ip("-n " + s.to + " link set " + captured + " addrgenmode none up")
	s.openSender()
}

func (s *soak) ip(line string) {
	s.Helper()
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		s.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

// metrics asks a watch for its metrics. Those of one name that have a label verdict are
// by that, and added up.
func (s *soak) metrics(w *soaked) map[string]float64 {
	s.Helper()
	answer, err := http.Get(w.served + "metrics")
	s.must(err)
	defer answer.Body.Close()
	all := make(map[string]float64)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		m := metric.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		s.must(err)
		name := m[1]
		if v := verdictLabel.FindStringSubmatch(m[2]); v != nil {
			name += " " + v[1]
		}
		all[name] += value
	}
	return all
}

var (
	metric       = regexp.MustCompile(`^([a-z_]+)(\{.*\})? (\S+)$`)
	omitted      = regexp.MustCompile(`"event":"omitted","message":"of (\d+) `)
	verdictLabel = regexp.MustCompile(`verdict="([^"]*)"`)
)

// measure notes and logs what the watch takes.
func (s *soak) measure(w *soaked) {
	s.Helper()
	m := s.metrics(w)
	x := sample{s.resident(w), m["go_memstats_alloc_bytes_total"], s.connections()}
	before := sample{}
	if len(s.samples) > 0 {
		before = s.samples[len(s.samples)-1]
	}
	s.samples = append(s.samples, x)
	s.Logf("%9d %8.0f %10d %12.1f %10.0f %8.0f", x.sent, time.Since(s.began).Seconds(), x.resident>>20,
		(x.allocated-before.allocated)/1024/float64(x.sent-before.sent), m["distproof_captured_packets_total"], m["distproof_dropped_packets_total"])
}

// resident is how much memory the watch has.
func (s *soak) resident(w *soaked) uint64 {
	s.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	s.must(err)
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		s.Fatalf("%s", status)
	}
	kib, err := strconv.ParseUint(string(m[1]), 10, 64)
	s.must(err)
	return kib << 10
}

// connections is how many were sent to the watch that runs.
func (s *soak) connections() (n uint64) {
	for _, k := range s.sent {
		n += k
	}
	return n
}

// settle waits until the watch has taken, or lost, what was sent.
func (s *soak) settle(w *soaked) {
	s.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		m := s.metrics(w)
		if m["distproof_captured_packets_total"]+m["distproof_dropped_packets_total"] >= float64(s.packets) {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("of %d packets it has %v, and lost %v", s.packets, m["distproof_captured_packets_total"], m["distproof_dropped_packets_total"])
		}
	}
}

// holdToTruth compares what the watch says with what was sent to it. If it lost packets,
// it may know less.
func (s *soak) holdToTruth(w *soaked) {
	s.Helper()
	m := s.metrics(w)
	lost := m["distproof_dropped_packets_total"] + m["distproof_forgotten_connections_total"]
	for _, verdict := range slices.Sorted(maps.Keys(s.sent)) {
		got, want := m["distproof_connections "+verdict]+m["distproof_folded_connections_total "+verdict], float64(s.sent[verdict])
		s.Logf("%s: %.0f connections, %.0f sent", verdict, got, want)
		if got > want || got < want && lost == 0 {
			s.Errorf("%s: %.0f connections, want %.0f; %.0f packets were lost", verdict, got, want, lost)
		}
	}
	if seen := m["distproof_seen_connections_total"]; lost == 0 && seen != float64(s.connections()) {
		s.Errorf("it saw %.0f connections of %d", seen, s.connections())
	}
	answer, err := http.Get(w.served + "api/v1/report")
	s.must(err)
	defer answer.Body.Close()
	var doc report.Document
	s.must(json.NewDecoder(answer.Body).Decode(&doc))
	if doc.Conclusion != "fail" {
		s.Errorf("%s: %s", doc.Conclusion, doc.Reason)
	}
	s.compare(&doc)
	up := 0
	for _, c := range doc.Connections {
		if strings.HasPrefix(c.Client.Address, "10.65.") && c.State == "up" {
			up++
		}
	}
	if up != len(s.long) {
		s.Errorf("of %d connections that stay, %d are up", len(s.long), up)
	}
}

// classOf returns what a connection was sent as, by the address that was sent as its
// server's: of one of which packets were lost, it may look like the client's.
func (s *soak) classOf(c *report.Connection) conversation {
	s.Helper()
	for _, address := range []string{c.Server.Address, c.Client.Address} {
		var kind, n int
		if _, err := fmt.Sscanf(address, "10.128.%d.%d", &kind, &n); err == nil {
			return [][]conversation{s.classes, s.open}[kind][n]
		}
	}
	s.Fatalf("%s is between %s and %s", c.ID, c.Client.Address, c.Server.Address)
	return conversation{}
}

// compare holds the connections of a report to what they are.
func (s *soak) compare(doc *report.Document) {
	s.Helper()
	for _, c := range doc.Connections {
		class := s.classOf(&c)
		if c.Verdict == nil {
			continue
		}
		if v := *c.Verdict; v != class.verdict && v != "inconclusive" {
			s.Errorf("%s %s:%d: %s, which is %s", c.ID, c.Client.Address, c.Client.Port, v, class.verdict)
		}
	}
}

// memoryIsFlat compares the second half with the first, if they are long enough: what
// is remembered of connections that are over has to fill up first.
func (s *soak) memoryIsFlat() {
	s.Helper()
	n := len(s.samples)
	top := func(of []sample) sample {
		return slices.MaxFunc(of, func(a, b sample) int { return int(a.resident>>10) - int(b.resident>>10) })
	}
	half, end := top(s.samples[n/4:n/2]), top(s.samples[3*n/4:])
	perConnection := func(from, to sample) float64 {
		return (to.allocated - from.allocated) / 1024 / float64(to.sent-from.sent)
	}
	early, late := perConnection(s.samples[n/4], s.samples[n/2-1]), perConnection(s.samples[3*n/4], s.samples[n-1])
	s.Logf("at most %d MiB resident in the second quarter, %d MiB in the last; allocated for each connection: %.1f and %.1f KiB",
		half.resident>>20, end.resident>>20, early, late)
	// --max-memory is not meant to be exact, and the ring is beside it.
	if most := top(s.samples).resident; most > 1<<30+1<<29 {
		s.Errorf("%d MiB are resident", most>>20)
	}
	if s.total < enough {
		return
	}
	if end.resident > half.resident+half.resident/4 {
		s.Errorf("it grows: from %d to %d MiB", half.resident>>20, end.resident>>20)
	}
	if late > early*1.5 {
		s.Errorf("what it allocates for a connection grows: from %.1f to %.1f KiB", early, late)
	}
}

// readSaved reads what was saved, and returns the names of its files.
func (s *soak) readSaved() []string {
	s.Helper()
	dir := filepath.Join(s.dir, "saved")
	files, err := filepath.Glob(dir + "/*.pcapng")
	s.must(err)
	out, err := exec.Command(s.distproof, "inspect", "-o", "json", dir).Output()
	if err != nil || len(files) == 0 {
		s.Fatalf("%d files; %v", len(files), err)
	}
	var doc report.Document
	s.must(json.Unmarshal(out, &doc))
	if doc.Summary.Distribution.Total() == 0 {
		s.Error("no connection between nodes is saved")
	}
	s.compare(&doc)
	slices.Sort(files)
	s.Logf("%d files are saved, %v", len(files), doc.Summary.Distribution)
	return files
}
