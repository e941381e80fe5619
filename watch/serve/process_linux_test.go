package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const confinedServer = "DISTPROOF_TEST_CONFINED_SERVER"

// TestConfinedServer is the program that TestProcessConfined starts: a server that
// has no file left when it is asked.
func TestConfinedServer(t *testing.T) {
	if os.Getenv(confinedServer) == "" {
		t.Skip("it is for TestProcessConfined")
	}
	s := newServer(t, Options{})
	if err := landlock.V1.RestrictPaths(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("/proc/self/stat"); err == nil {
		t.Fatal("/proc can be read")
	}
	fmt.Println("serves", s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestProcessConfined: the memory, processor time and files of the process are
// told also when it may not open anything of /proc any more.
func TestProcessConfined(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestConfinedServer$", "-test.timeout=30s")
	child.Env = append(os.Environ(), confinedServer+"=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(first), "serves ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", first, err)
	}
	_, text := get(t, "GET", url+"metrics", nil)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) float64 {
		f := families[name]
		if f == nil {
			t.Errorf("%s is not told", name)
			return 0
		}
		return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
	}
	between := func(name string, low, high float64) {
		t.Helper()
		if v := value(name); v < low || v > high {
			t.Errorf("%s is %v, not between %v and %v", name, v, low, high)
		}
	}
	const mib = 1 << 20
	between("process_resident_memory_bytes", mib, 4096*mib)
	between("process_virtual_memory_bytes", value("process_resident_memory_bytes"), 1<<47)
	between("process_cpu_seconds_total", 0, 60)
	// The kernel counts in hundredths of a second.
	between("process_start_time_seconds", float64(began.Unix())-2, float64(time.Now().Unix())+2)
	between("process_max_fds", 16, 1<<31)
}

func TestParseStat(t *testing.T) {
	const line = "4711 (a) R (b)) S 1 4711 4711 0 -1 4194560 9 0 0 0 250 150 0 0 20 0 8 0 12345 1048576 3 18446744073709551615 0 0\n"
	want := processStat{cpu: 4, start: 123.45, virtual: 1048576, resident: float64(3 * os.Getpagesize())}
	if got, ok := parseStat([]byte(line)); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", "4711 (a) S 1 2", strings.Replace(line, "250", "x", 1)} {
		if got, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
