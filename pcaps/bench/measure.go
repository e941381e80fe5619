//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A tool is what is measured. FILE stands for the capture in its command.
type tool struct {
	name, command string
	// slow tools get a slice of the capture.
	slow bool
}

// tools returns what is measured, distproof first: the others are held against
// it.
func tools(distproof string) []tool {
	verify := distproof + " verify -q --exit-zero -o json=/dev/null "
	return []tool{
		{"distproof", verify + "FILE", false},
		{"distproof, one processor", "env GOMAXPROCS=1 " + verify + "--workers 1 FILE", false},
		{"capinfos -c", "capinfos -c FILE", false},
		{"tcpdump -w /dev/null", "tcpdump -r FILE -w /dev/null", false},
		{"ndpiReader", "ndpiReader -q -i FILE", false},
		{"ssldump", "ssldump -n -r FILE", true},
		{"tshark", "tshark -n -q -r FILE", true},
	}
}

// slice is the part of a capture that slow tools get.
const slice = 0.01

// A measurer measures tools, in a folder of its own.
type measurer struct {
	common
	out     io.Writer
	self    string
	folder  string
	runs    int
	limit   time.Duration
	tools   []tool
	missing []string
}

func measure(args []string, w io.Writer) error {
	m := measurer{out: w}
	flags := m.flags("measure")
	flags.IntVar(&m.runs, "runs", 3, "how often each tool runs")
	flags.DurationVar(&m.limit, "limit", 5*time.Minute, "how long a run may take")
	distproof := flags.String("distproof", "bin/distproof", "the program that is measured")
	folder := flags.String("tmp", os.TempDir(), "where captures are written, and deleted again; needs 7 GB at scale 1")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := kinds
	if flags.NArg() > 0 {
		chosen = nil
	}
	for _, name := range flags.Args() {
		k, err := kindOf(name)
		if err != nil {
			return err
		}
		chosen = append(chosen, k)
	}
	if _, err := exec.LookPath("hyperfine"); err != nil {
		return errors.New("hyperfine is not installed; it does the timing")
	}
	var err error
	if m.self, err = os.Executable(); err != nil {
		return err
	}
	if m.folder, err = os.MkdirTemp(*folder, "distproof-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(m.folder)
	path, err := filepath.Abs(*distproof)
	if err != nil {
		return err
	}
	m.look(tools(path))
	for _, k := range chosen {
		if err := m.kind(k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	if len(m.missing) > 0 {
		fmt.Fprintf(w, "\nNot installed, so not measured: %s.\n", strings.Join(m.missing, ", "))
	}
	return nil
}

// look finds out which tools are there.
func (m *measurer) look(all []tool) {
	for _, t := range all {
		program, _, _ := strings.Cut(t.command, " ")
		if _, err := exec.LookPath(program); err != nil {
			m.missing = append(m.missing, t.name)
			continue
		}
		m.tools = append(m.tools, t)
	}
}

// A row is what was measured of one tool with one capture.
type row struct {
	tool    string
	seconds float64
	cpu     float64 // seconds, of all processors
	peak    int64   // bytes
	over    bool    // the limit was exceeded
}

// kind measures all tools with a capture, and the slow ones with a slice of it.
func (m *measurer) kind(k kind) error {
	var fast, slow []tool
	for i, t := range m.tools {
		if !t.slow {
			fast = append(fast, t)
		}
		if t.slow || i == 0 {
			slow = append(slow, t)
		}
	}
	if err := m.capture(k, m.scale, fast); err != nil {
		return err
	}
	if len(slow) < 2 {
		return nil
	}
	return m.capture(k, m.scale*slice, slow)
}

// capture measures tools with one capture.
func (m *measurer) capture(k kind, scale float64, tools []tool) error {
	c := source{kind: k, common: m.common, piped: k.piped && scale >= 0.5}
	c.scale = scale
	if err := m.write(&c); err != nil {
		return err
	}
	defer func() { _ = os.Remove(c.path) }()
	var rows []row
	for _, t := range tools {
		r, err := m.once(c, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		rows = append(rows, r)
	}
	if err := m.time(c, tools, rows); err != nil {
		return err
	}
	return m.print(c, rows)
}

// A source is a capture, in a file or made while it is read.
type source struct {
	kind
	common
	piped   bool
	path    string // of the file
	packets uint64
	bytes   int64
}

// write makes the capture, to the file or only to know its size.
func (m *measurer) write(c *source) error {
	t, err := loadTemplates(c.from)
	if err != nil {
		return err
	}
	c.path = filepath.Join(m.folder, c.name+".pcap")
	path := c.path
	if c.piped {
		path = os.DevNull
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	counter := &counter{to: f}
	w := newWriter(counter)
	_, err = c.make(w, t, c.scale)
	c.packets = w.packets
	err = errors.Join(err, w.close(), f.Close())
	c.bytes = counter.n
	return err
}

type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.to.Write(b)
}

// command is what has t read the capture.
func (m *measurer) command(c source, t tool) string {
	if !c.piped {
		return strings.ReplaceAll(t.command, "FILE", c.path)
	}
	return fmt.Sprintf("%s generate -scale %g -from %s %s | %s", m.self, c.scale, c.from, c.name, strings.ReplaceAll(t.command, "FILE", "-"))
}

// once runs t for its memory, and for its time if that is long. It also brings
// the file into the memory of the system, for all that follow.
func (m *measurer) once(c source, t tool) (row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.limit)
	defer cancel()
	var err error
	path := c.path
	if c.piped {
		path = "-"
	}
	args := strings.Fields(strings.ReplaceAll(t.command, "FILE", path))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if c.piped {
		maker := exec.CommandContext(ctx, m.self, "generate", "-scale", strconv.FormatFloat(c.scale, 'g', -1, 64), "-from", c.from, c.name)
		if cmd.Stdin, err = maker.StdoutPipe(); err != nil {
			return row{}, err
		}
		if err := maker.Start(); err != nil {
			return row{}, err
		}
		defer func() { _ = maker.Wait() }()
		defer cancel() // first, in case the tool has not read it all
	}
	began := time.Now()
	err = cmd.Run()
	r := row{tool: t.name, seconds: time.Since(began).Seconds(), over: ctx.Err() != nil}
	if cmd.ProcessState == nil {
		return row{}, err
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.peak = usage.Maxrss << 10
		r.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	if err != nil && !r.over {
		return row{}, fmt.Errorf("%s: %w", cmd, err)
	}
	return r, nil
}

// time has hyperfine time all tools that are not too slow for it.
func (m *measurer) time(c source, tools []tool, rows []row) error {
	results := filepath.Join(m.folder, "hyperfine.json")
	defer func() { _ = os.Remove(results) }()
	args := []string{"--style", "none", "--runs", strconv.Itoa(m.runs), "--export-json", results}
	if !c.piped {
		args = append(args, "-N")
	}
	var timed []int
	for i, t := range tools {
		if rows[i].seconds < m.limit.Seconds()/float64(m.runs) {
			args = append(args, m.command(c, t))
			timed = append(timed, i)
		}
	}
	if len(timed) == 0 {
		return nil
	}
	args = urgent(append([]string{"hyperfine"}, args...))
	cmd := exec.Command(args[0], args[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hyperfine: %w: %s", err, out)
	}
	b, err := os.ReadFile(results)
	if err != nil {
		return err
	}
	var report struct {
		Results []struct{ Min, User, System float64 }
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return err
	}
	if len(report.Results) != len(timed) {
		return fmt.Errorf("hyperfine timed %d of %d", len(report.Results), len(timed))
	}
	for i, r := range report.Results {
		// Other work on the machine only ever adds.
		rows[timed[i]].seconds = r.Min
		if !c.piped { // or it is the generator's time, too
			rows[timed[i]].cpu = min(rows[timed[i]].cpu, r.User+r.System)
		}
	}
	return nil
}

// urgent has a command, and all that it runs, go before everything else on the
// machine, so that other work does not show. Only root may do so.
func urgent(args []string) []string {
	if _, err := exec.LookPath("chrt"); err != nil || os.Geteuid() != 0 {
		return args
	}
	return append([]string{"chrt", "--rr", "1"}, args...)
}

// print writes the rows as a table of Markdown.
func (m *measurer) print(c source, rows []row) error {
	way := ""
	if c.piped {
		way = ", through a pipe"
	}
	fmt.Fprintf(m.out, "\n### %s, scale %g: %d packets, %.0f MB%s\n\n", c.name, c.scale, c.packets, float64(c.bytes)/1e6, way)
	w := tabwriter.NewWriter(m.out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| tool\t| time\t| distproof takes\t| processor time\t| distproof takes\t| packets/s\t| MB/s\t| peak memory\t|")
	fmt.Fprintln(w, "|---\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|")
	for _, r := range rows {
		taken, ratio, cpuRatio := fmt.Sprintf("%.2f s", r.seconds), ratio(rows[0].seconds, r.seconds), ratio(rows[0].cpu, r.cpu)
		if r.over {
			taken, ratio, cpuRatio = fmt.Sprintf("> %.0f s", r.seconds), "< "+ratio, "< "+cpuRatio
		}
		if r.tool == rows[0].tool {
			ratio, cpuRatio = "", ""
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %.2f s\t| %s\t| %.2f M\t| %.0f\t| %.0f MiB\t|\n", r.tool, taken, ratio, r.cpu, cpuRatio,
			float64(c.packets)/r.seconds/1e6, float64(c.bytes)/r.seconds/1e6, float64(r.peak)/(1<<20))
	}
	return w.Flush()
}

func ratio(ours, theirs float64) string { return fmt.Sprintf("%.2f ×", ours/theirs) }
