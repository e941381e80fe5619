package serve

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// A process collects what Prometheus's own collector does of the process, with the
// same names. That one opens files of /proc for each scrape, which a process that
// has given up its rights cannot do any more: this one opens them when it is made.
type process struct {
	stat *os.File // nil without /proc
	boot time.Time

	cpu, resident, virtual, start, openFiles, maxFiles *prometheus.Desc
}

func newProcess() prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("process_"+name, help, nil, nil) }
	p := &process{
		cpu:       desc("cpu_seconds_total", "Total user and system CPU time spent in seconds."),
		resident:  desc("resident_memory_bytes", "Resident memory size in bytes."),
		virtual:   desc("virtual_memory_bytes", "Virtual memory size in bytes."),
		start:     desc("start_time_seconds", "Start time of the process since unix epoch in seconds."),
		openFiles: desc("open_fds", "Number of open file descriptors."),
		maxFiles:  desc("max_fds", "Maximum number of open file descriptors."),
	}
	p.stat, _ = os.Open("/proc/self/stat")
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) == nil {
		p.boot = time.Now().Add(-time.Duration(up.Nano()))
	}
	return p
}

func (p *process) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.cpu, p.resident, p.virtual, p.start, p.openFiles, p.maxFiles} {
		ch <- d
	}
}

func (p *process) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v)
	}
	if s, ok := p.read(); ok {
		tell(p.cpu, prometheus.CounterValue, s.cpu)
		tell(p.resident, prometheus.GaugeValue, s.resident)
		tell(p.virtual, prometheus.GaugeValue, s.virtual)
		if !p.boot.IsZero() {
			tell(p.start, prometheus.GaugeValue, float64(p.boot.UnixMilli())/1000+s.start)
		}
	}
	// Since Linux 6.2 this is how many there are; before that 0.
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		tell(p.openFiles, prometheus.GaugeValue, float64(info.Size()))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		tell(p.maxFiles, prometheus.GaugeValue, float64(limit.Cur))
	}
}

// A processStat is what /proc/self/stat says, in seconds and bytes: processor time
// spent, memory, and when the process began, after the start of the system.
type processStat struct{ cpu, resident, virtual, start float64 }

// read reads /proc/self/stat as it is now; false if that cannot be done.
func (p *process) read() (s processStat, ok bool) {
	if p.stat == nil {
		return s, false
	}
	buf := make([]byte, 4096)
	n, _ := p.stat.ReadAt(buf, 0)
	return parseStat(buf[:n])
}

// parseStat reads fields by their numbers in proc_pid_stat(5). The name of the
// program, the second, is in brackets, and may have any characters.
func parseStat(line []byte) (s processStat, ok bool) {
	const afterName, utime, stime, startTime, vsize, rss = 3, 14, 15, 22, 23, 24
	const ticks = 100 // a second, for all programs: USER_HZ
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= rss-afterName {
		return s, false
	}
	field := func(number int) float64 {
		v, err := strconv.ParseUint(string(fields[number-afterName]), 10, 64)
		ok = ok && err == nil
		return float64(v)
	}
	ok = true
	s = processStat{
		cpu:      (field(utime) + field(stime)) / ticks,
		start:    field(startTime) / ticks,
		virtual:  field(vsize),
		resident: field(rss) * float64(os.Getpagesize()),
	}
	return s, ok
}
