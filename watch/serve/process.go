package serve

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// A process has the usual metrics of a process on Linux, under their usual names.
// The library's collector opens files of /proc again and again, and a sandbox lets
// nobody do that: this one has what it needs open.
type process struct {
	stat                                 *os.File
	cpu, resident, virtual, files, start family
	began                                float64
}

func processFamily(kind prometheus.ValueType, name, help string) family {
	return family{prometheus.NewDesc("process_"+name, help, nil, nil), kind}
}

// newProcess returns the library's collector where there is no /proc.
func newProcess(began float64) prometheus.Collector {
	stat, err := os.Open("/proc/self/stat")
	if err != nil {
		return collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	}
	return &process{
		stat: stat, began: began,
		cpu:      processFamily(prometheus.CounterValue, "cpu_seconds_total", "Total user and system CPU time spent in seconds."),
		resident: processFamily(prometheus.GaugeValue, "resident_memory_bytes", "Resident memory size in bytes."),
		virtual:  processFamily(prometheus.GaugeValue, "virtual_memory_bytes", "Virtual memory size in bytes."),
		files:    processFamily(prometheus.GaugeValue, "open_fds", "Number of open file descriptors."),
		start:    processFamily(prometheus.GaugeValue, "start_time_seconds", "Start time of the process since unix epoch in seconds."),
	}
}

// Describe implements [prometheus.Collector].
func (p *process) Describe(out chan<- *prometheus.Desc) {
	for _, f := range []family{p.cpu, p.resident, p.virtual, p.files, p.start} {
		out <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (p *process) Collect(out chan<- prometheus.Metric) {
	out <- p.start.value(p.began)
	if s, err := readStat(p.stat); err == nil {
		out <- p.cpu.value(s.cpu)
		out <- p.resident.value(s.resident)
		out <- p.virtual.value(s.virtual)
	}
	// Before Linux 6.2 the size is 0.
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		out <- p.files.value(float64(info.Size()))
	}
}

// A usage is what a process takes, in seconds and bytes.
type usage struct{ cpu, resident, virtual float64 }

// ticksPerSecond is the unit of times in /proc (USER_HZ), the same on all
// architectures that Go runs on.
const ticksPerSecond = 100

// readStat reads the file stat of a process: proc_pid_stat(5).
func readStat(f *os.File) (u usage, err error) {
	buf := make([]byte, 4<<10)
	n, _ := f.ReadAt(buf, 0) // ends with the file
	// The second field is a name in parentheses, which may have some of its own.
	fields := bytes.Fields(buf[bytes.LastIndexByte(buf[:n], ')')+1 : n])
	const user, system, virtual, resident = 14 - 3, 15 - 3, 23 - 3, 24 - 3
	if len(fields) <= resident {
		return u, fmt.Errorf("%s has %d fields", f.Name(), len(fields))
	}
	number := func(i int) (v uint64) {
		if err == nil {
			v, err = strconv.ParseUint(string(fields[i]), 10, 64)
		}
		return v
	}
	u = usage{
		cpu:      float64(number(user)+number(system)) / ticksPerSecond,
		resident: float64(number(resident)) * float64(os.Getpagesize()),
		virtual:  float64(number(virtual)),
	}
	return u, err
}
