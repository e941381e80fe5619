package keep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distproof/capture"
	"distproof/internal/allocs"
	"distproof/report"
	"distproof/watch"
)

// packet is the n-th packet of a watch, of 1,000 bytes if no more is said.
func packet(n, size int) *capture.Packet {
	return &capture.Packet{
		Data: make([]byte, size), Length: size, Time: int64(n) * 1e6, LinkType: 1,
		Frame: capture.Frame{Number: uint32(n)},
	}
}

// known is what a State says of a connection.
type known struct {
	protocol, verdict string
	findings          []string
}

func stateOf(connections map[uint64]known) *watch.State {
	doc := new(report.Document)
	for number, k := range connections {
		c := report.Connection{ID: fmt.Sprintf("c%d", number), Protocol: k.protocol, Findings: k.findings}
		if k.verdict != "" {
			c.Verdict = &k.verdict
		}
		doc.Connections = append(doc.Connections, c)
		for _, rule := range k.findings {
			doc.Findings = append(doc.Findings, report.Finding{
				Rule: rule, Severity: "high", Message: "of " + c.ID, Connections: []string{c.ID},
				Evidence: []report.Evidence{{Frame: 2, Text: "shows it"}},
			})
		}
	}
	return &watch.State{Document: doc}
}

// keeperFor saves into a folder; it is not started, so that nothing is written
// before all is in the queue.
func keeperFor(t *testing.T, dir string, change func(*Options)) *Keeper {
	t.Helper()
	o := Options{Size: 64 << 20, Files: 4, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	k, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// finish writes everything and lists the times of the packets, in milliseconds, as
// packet made them. All that is in the folder has to be readable.
func finish(t *testing.T, k *Keeper) []int {
	t.Helper()
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	size, c := int64(0), k.Counters()
	all := paths(t, k.files.dir)
	for _, path := range all {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if c.Packets > 0 && (c.Files != len(all) || c.Bytes != size) {
		t.Errorf("%d files of %d bytes are counted, there are %d of %d", c.Files, c.Bytes, len(all), size)
	}
	return saves(t, k.files.dir)
}

func saves(t *testing.T, dir string) []int {
	t.Helper()
	var out []int
	for _, path := range paths(t, dir) {
		src, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var p capture.Packet
		for err = src.Next(&p); err == nil; err = src.Next(&p) {
			out = append(out, int(p.Time/1e6))
		}
		if !errors.Is(err, io.EOF) || src.Inputs()[0].Damage != nil {
			t.Fatal(err, src.Inputs()[0].Damage)
		}
		src.Close()
	}
	return out
}

func paths(t *testing.T, dir string) []string {
	t.Helper()
	out, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// numbers are those from a to b.
func numbers(a, b int) []int {
	var out []int
	for n := a; n <= b; n++ {
		out = append(out, n)
	}
	return out
}

func wantSaved(t *testing.T, got []int, want ...[]int) {
	t.Helper()
	if all := slices.Concat(want...); !slices.Equal(got, all) {
		t.Errorf("saved %v, want %v", got, all)
	}
}

// TestSelection: the beginnings of distribution and EPMD are saved, before and
// after it is known that they are that; of others nothing is.
func TestSelection(t *testing.T) {
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 4000 })
	for n := 1; n <= 9; n++ {
		k.Packet(packet(n, 1000), uint64(n%3)+1)
	}
	k.Packet(packet(10, 1000), 0)
	wanted := map[uint64]known{1: {protocol: "dist-tls", verdict: "mutual"}, 2: {protocol: "tls"}, 3: {protocol: "epmd"}}
	k.State(stateOf(wanted))
	for n := 11; n <= 19; n++ {
		k.Packet(packet(n, 1000), uint64(n%3)+1)
	}
	k.State(stateOf(wanted))
	got := finish(t, k)
	slices.Sort(got)
	// Four of connection 1 (3, 6, 9; 12) and of 3 (2, 5, 8; 11).
	wantSaved(t, got, []int{2, 3, 5, 6, 8, 9, 11, 12})
}

// TestLate: what turns out to be distribution late still has its beginning, and a
// connection is not taken for another one.
func TestLate(t *testing.T) {
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 2000 })
	for n := 1; n <= 5; n++ {
		k.Packet(packet(n, 1000), 7)
		k.State(stateOf(map[uint64]known{7: {protocol: "tls"}}))
	}
	k.State(stateOf(map[uint64]known{7: {protocol: "dist-tls", verdict: "one-way"}}))
	wantSaved(t, finish(t, k), []int{1, 2})
}

// TestFinding: around a finding there are the packets before and after it.
func TestFinding(t *testing.T) {
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 1000 })
	mutual := map[uint64]known{1: {protocol: "dist-tls", verdict: "mutual"}}
	k.Packet(packet(1, 1000), 1)
	k.State(stateOf(mutual))
	for n := 2; n <= 300; n++ {
		k.Packet(packet(n, 1000), 1)
	}
	k.State(stateOf(mutual))
	k.State(stateOf(map[uint64]known{1: {"dist-tls", "cleartext", []string{"DP102"}}}))
	for n := 301; n <= 500; n++ {
		k.Packet(packet(n, 1000), 1)
	}
	// The same finding is not saved again; another one is.
	k.State(stateOf(map[uint64]known{1: {"dist-tls", "cleartext", []string{"DP102"}}}))
	k.Packet(packet(501, 1000), 1)
	got := finish(t, k)
	before := slices.Index(got, 300)
	if before < recent/(1000+recordHeader) {
		t.Fatalf("only %d packets before the finding", before-1)
	}
	wantSaved(t, got, []int{1}, numbers(300-before+1, 300), numbers(301, 300+afterPackets))
	if text := comments(t, k.files.dir); !strings.Contains(text, "finding DP102 (high): of c1") {
		t.Error("the finding is not noted")
	}
}

// TestTooLate: that the packets which show a finding are gone is noted.
func TestTooLate(t *testing.T) {
	finding := map[uint64]known{1: {"dist-tls", "cleartext", []string{"DP102"}}} // frame 2 shows it
	for _, tt := range []struct {
		packets int
		want    bool
	}{{3, false}, {2 * recent / 1000, true}} {
		k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 1000 })
		k.Packet(packet(1, 1000), 1)
		k.State(stateOf(map[uint64]known{1: {protocol: "dist-tls", verdict: "mutual"}}))
		for n := 2; n < 2+tt.packets; n++ {
			k.Packet(packet(n, 1000), 1)
		}
		k.State(stateOf(finding))
		finish(t, k)
		if got := strings.Contains(comments(t, k.files.dir), "what showed it is not saved"); got != tt.want {
			t.Errorf("with %d packets after the beginning: noted: %t", tt.packets, got)
		}
	}
}

// TestSharedFinding: a finding of many connections has the frames of all. None of them
// is said to lack what is another's, and that they are many does not multiply.
func TestSharedFinding(t *testing.T) {
	const many = 2_000
	k := keeperFor(t, t.TempDir(), nil)
	verdict := "cleartext"
	f := report.Finding{Rule: "DP101", Severity: "critical", Message: "in the clear"}
	doc := new(report.Document)
	for n := 1; n <= many; n++ {
		k.Packet(packet(n, 100), uint64(n))
		id := fmt.Sprintf("c%d", n)
		f.Connections = append(f.Connections, id)
		f.Evidence = append(f.Evidence, report.Evidence{Frame: packet(n, 100).Frame.Number, Text: "shows it"})
		doc.Connections = append(doc.Connections, report.Connection{ID: id, Protocol: "dist", Verdict: &verdict, Findings: []string{f.Rule}})
	}
	doc.Findings = []report.Finding{f}
	if took := allocs.Of(func() { k.State(&watch.State{Document: doc}) }) / many; took > 10<<10 {
		t.Errorf("%d bytes were allocated for each connection", took)
	}
	wantSaved(t, finish(t, k), numbers(1, many))
	text := comments(t, k.files.dir)
	if strings.Contains(text, "is not saved") {
		t.Error("proof is said to be missing, which is there")
	}
	if n := strings.Count(text, "DP101: shows it"); n != many {
		t.Errorf("%d of %d frames are marked", n, many)
	}
}

// TestAfterTime: a slow connection does not go on being saved for ever.
func TestAfterTime(t *testing.T) {
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 1000 })
	k.Packet(packet(1, 1000), 1)
	k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
	k.State(stateOf(map[uint64]known{1: {"dist", "cleartext", []string{"DP101"}}}))
	seconds := []int{60_000, 69_000, 70_001, 70_002}
	for _, n := range seconds {
		k.Packet(packet(n, 1000), 1)
	}
	wantSaved(t, finish(t, k), []int{1}, seconds[:2])
}

// comments is all text in the files.
func comments(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, path := range paths(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	return out.String()
}

// TestEvidence: what a frame shows stands at that frame.
func TestEvidence(t *testing.T) {
	k := keeperFor(t, t.TempDir(), nil)
	for n := 1; n <= 3; n++ {
		k.Packet(packet(n, 1000), 1)
	}
	k.State(stateOf(map[uint64]known{1: {"dist", "cleartext", []string{"DP101"}}}))
	finish(t, k)
	text := comments(t, k.files.dir)
	first, second := strings.Index(text, "connection c1: "), strings.Index(text, "DP101: shows it")
	if first < 0 || second < first+1000 || second > first+3000 {
		t.Errorf("notes at %d and %d", first, second)
	}
}

// TestMemory: what is least likely to be distribution is forgotten first, and what
// was forgotten and turns out to be is counted.
func TestMemory(t *testing.T) {
	const room = 750_000
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Memory, o.Head = room, 100_000 })
	state := make(map[uint64]known)
	for n := 1; n <= 100; n++ {
		number := uint64(n)
		state[number] = known{protocol: []string{"other", "tls", "none", "tls"}[n%4]}
		for i := range 5 {
			k.Packet(packet(10*n+i, 1000), number)
		}
	}
	k.State(stateOf(state))
	for n := 101; n <= 200; n++ {
		for i := range 5 {
			k.Packet(packet(10*n+i, 1000), uint64(n))
		}
	}
	if k.memory > room {
		t.Errorf("%d bytes are held", k.memory)
	}
	forgotten := map[string]int{}
	for number, c := range k.connections {
		if c.phase == ignored {
			forgotten[state[number].protocol]++
		}
	}
	if forgotten["other"] != 25 || forgotten["none"] != 25 || forgotten["tls"] == 50 || forgotten[""] != 0 {
		t.Errorf("forgotten: %v", forgotten)
	}
	if c := k.Counters(); c.Forgotten != uint64(forgotten["other"]+forgotten["none"]+forgotten["tls"]) || c.Missed != 0 {
		t.Errorf("%+v", c)
	}
	state[4] = known{protocol: "dist", verdict: "cleartext"} // it was forgotten
	state[200] = known{protocol: "dist", verdict: "cleartext"}
	k.State(stateOf(state))
	k.Packet(packet(3000, 1000), 4)
	wantSaved(t, finish(t, k), numbers(2000, 2004))
	if c := k.Counters(); c.Missed != 1 || c.Packets != 5 || c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}

// TestGone: of connections that the engine does not know any more nothing is left.
func TestGone(t *testing.T) {
	k := keeperFor(t, t.TempDir(), nil)
	for n := 1; n <= 1000; n++ {
		k.Packet(packet(n, 1000), uint64(n))
		k.State(stateOf(map[uint64]known{uint64(n): {protocol: []string{"tls", "dist"}[n%2], verdict: []string{"", "mutual"}[n%2]}}))
		if len(k.connections) > 2 || k.memory > 2*(overhead+2000) {
			t.Fatalf("after %d: %d connections, %d bytes", n, len(k.connections), k.memory)
		}
	}
	k.State(stateOf(nil))
	k.State(stateOf(nil))
	if len(k.connections) != 0 || k.memory != 0 || k.last != nil {
		t.Errorf("%d connections, %d bytes are left", len(k.connections), k.memory)
	}
	for _, l := range append(k.order[:], k.all) {
		if l.first != nil || l.last != nil {
			t.Error("a list is not empty")
		}
	}
}

// TestQueue: while nothing can be written, what waits is bounded, and what is
// lost is counted, and told in the file.
func TestQueue(t *testing.T) {
	k := keeperFor(t, t.TempDir(), func(o *Options) { o.Head = 1 << 30; o.Memory = 1 << 30 })
	k.Packet(packet(1, 1000), 1)
	k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
	const all = 2 * maxQueue / 10_000
	for n := 2; n <= all; n++ {
		k.Packet(packet(n, 10_000), 1)
	}
	lost := int(k.Counters().Lost)
	if k.queue.bytes > maxQueue || lost == 0 {
		t.Fatalf("%d bytes wait, %d packets are lost", k.queue.bytes, lost)
	}
	wantSaved(t, finish(t, k), numbers(1, all-lost))
	if k.queue.bytes != 0 {
		t.Errorf("%d bytes are left in the queue", k.queue.bytes)
	}
	if told := droppedIn(t, k.files.dir); told != uint64(lost) {
		t.Errorf("the files tell of %d lost packets, not %d", told, lost)
	}
}

// droppedIn sums what the files say was lost.
func droppedIn(t *testing.T, dir string) uint64 {
	t.Helper()
	src, err := capture.Open([]string{dir}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var p capture.Packet
	for err == nil {
		err = src.Next(&p)
	}
	sum := uint64(0)
	for _, in := range src.Inputs() {
		sum += in.Dropped
	}
	return sum
}

// TestRotation: neither files nor bytes are ever more than allowed, the newest
// stay, and those of earlier runs count.
func TestRotation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	const size, files = 1 << 20, 4
	n, newest := 0, ""
	for run := range 3 {
		k := keeperFor(t, dir, func(o *Options) { o.Size, o.Files, o.Head = size, files, 1<<30 })
		if err := k.Start(); err != nil {
			t.Fatal(err)
		}
		k.Packet(packet(n, 1000), 1)
		k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
		for range 2000 {
			n++
			k.Packet(packet(n, 1000), 1)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		all := paths(t, dir)
		sum := int64(0)
		for _, path := range all {
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Fatal(info.Mode(), err)
			}
			sum += info.Size()
		}
		if len(all) > files || sum > size || sum < size/2 {
			t.Errorf("run %d: %d files with %d bytes", run, len(all), sum)
		}
		if last := all[len(all)-1]; last <= newest {
			t.Errorf("%s is not newer than %s", last, newest)
		} else {
			newest = last
		}
	}
	got := saves(t, dir)
	wantSaved(t, got, numbers(n-len(got)+1, n))
	if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Error(info.Mode(), err)
	}
}

// TestAge: files that are too old go, and other files stay.
func TestAge(t *testing.T) {
	dir := t.TempDir()
	old, other := filepath.Join(dir, "distproof-20200101T000000Z-000007.pcapng"), filepath.Join(dir, "distproof.pcapng")
	for _, path := range []string{old, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	k := keeperFor(t, dir, func(o *Options) { o.Age = time.Hour })
	k.Packet(packet(1, 1000), 1)
	k.State(stateOf(map[uint64]known{1: {protocol: "dist", verdict: "cleartext"}}))
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	left := paths(t, dir)
	if len(left) != 2 || left[1] != other || !strings.HasSuffix(left[0], "-000008.pcapng") {
		t.Errorf("%q", left)
	}
	// Nothing is written any more, and yet its time comes.
	if err := os.Chtimes(left[0], time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := k.files.age(); err != nil {
		t.Fatal(err)
	}
	if left := paths(t, dir); len(left) != 1 || left[0] != other {
		t.Errorf("%q", left)
	}
}

// TestAgeWhileBusy: packets that keep coming do not keep old files from going.
func TestAgeWhileBusy(t *testing.T) {
	dir := t.TempDir()
	k := keeperFor(t, dir, func(o *Options) { o.Age = time.Hour })
	defer k.files.close()
	old := filepath.Join(dir, "distproof-20200101T000000Z-000007.pcapng")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if after, ok := k.files.due(); !ok || after == 0 || after > time.Hour/parts {
		t.Errorf("due in %v", after)
	}
	k.files.aged = time.Now().Add(-time.Hour)
	k.rouse()
	if k.wait() {
		t.Error("that is the end")
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file stays: %v", err)
	}
	if after, _ := k.files.due(); after == 0 {
		t.Error("due again at once")
	}
}

// TestNothing: where there was nothing to save there is no file.
func TestNothing(t *testing.T) {
	k := keeperFor(t, t.TempDir(), nil)
	k.Packet(packet(1, 1000), 1)
	if err := k.Start(); err != nil {
		t.Fatal(err)
	}
	if len(paths(t, k.files.dir)) != 1 {
		t.Error("Start did not try to write")
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if left := paths(t, k.files.dir); len(left) > 0 {
		t.Errorf("%q", left)
	}
}

// TestLocked: two do not save into one folder.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	k := keeperFor(t, dir, nil)
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("opened twice")
	}
	if err := k.files.close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again.files.close()
}

// BenchmarkPacket is what the goroutine that reads packets pays for each.
func BenchmarkPacket(b *testing.B) {
	for _, bb := range []struct{ name, verdict string }{{"other", ""}, {"distribution", "mutual"}} {
		b.Run(bb.name, func(b *testing.B) {
			k, err := Open(b.TempDir(), Options{Size: 64 << 20, Files: 4, UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer k.files.close()
			const connections = 100
			state := make(map[uint64]known)
			for n := range uint64(connections) {
				state[n+1] = known{protocol: "tls", verdict: bb.verdict}
			}
			p := packet(1, 1400)
			b.SetBytes(1400)
			b.ReportAllocs()
			for i := range b.N {
				if i%100_000 == 0 {
					k.State(stateOf(state))
					k.take()
					k.queue.bytes = 0
				}
				k.Packet(p, uint64(i/8%connections+1))
			}
		})
	}
}
