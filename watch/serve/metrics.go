package serve

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"distproof/capture/live"
	"distproof/report"
	"distproof/verify"
	"distproof/watch"
	"distproof/watch/keep"
)

// maxInterfaces is how many interfaces have metrics of their own: every container
// brings one.
const maxInterfaces = 100

// verdicts and states are those that always have a value, be it zero.
func verdicts() []verify.Verdict {
	return []verify.Verdict{verify.Mutual, verify.OneWay, verify.Cleartext, verify.Refused, verify.Inconclusive}
}

func states() []verify.State {
	return []verify.State{verify.Up, verify.TLSFailed, verify.DistRefused, verify.Incomplete, verify.Midstream}
}

// none stands for a verdict where there is none.
const none = "none"

// A family is a metric with all its label values.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("distproof_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("distproof_"+name, help, labels, nil), prometheus.GaugeValue}
}

func (f family) value(v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
}

// The metrics.
var (
	connectionsFamily  = gauge("connections", "Connections between nodes in the report, by verdict and state of the session, open or over.", "verdict", "state", "open")
	verdictTimeFamily  = gauge("verdict_last_packet_timestamp_seconds", "When the last packet of a connection with the verdict was captured, also of connections that are only counted any more; no value if there never was one.", "verdict")
	otherFamily        = gauge("other_connections", "Connections in the report that are not shown to be between nodes, by protocol.", "protocol")
	stalledFamily      = gauge("stalled_connections", "Open connections between nodes on which no tick came for longer than net_ticktime allows.")
	lostFamily         = gauge("lost_bytes", "Bytes of the connections in the report that were not captured.")
	unseenFamily       = gauge("unseen_connections", "Connections between programs of Erlang that the kernel has, and of which no packet was captured.")
	listenersFamily    = gauge("listeners", "Sockets on which programs of Erlang on this host take connections.")
	seenFamily         = counter("seen_connections_total", "TCP connections ever seen.")
	foldedFamily       = counter("folded_connections_total", "Connections that are over and not in the report any more, only counted, by verdict; none for those that are not between nodes.", "verdict")
	forgottenFamily    = counter("forgotten_connections_total", "Connections given up for lack of memory.")
	nodesFamily        = gauge("nodes", "Nodes in the report, by how they were reached: cleartext, tls, both, or none if they were not.", "listener")
	edgesFamily        = gauge("edges", "Pairs of nodes of which the first connected to the second, by the worst verdict of their connections.", "verdict")
	findingsFamily     = gauge("findings", "Findings of the report, by rule, severity and what they do to the conclusion: violates, undecided, waived or noted. Not open are those all of whose connections are over.", "rule", "severity", "effect", "open")
	findingTimeFamily  = gauge("finding_last_packet_timestamp_seconds", "When the last packet of a connection concerned was captured, by rule, severity and what the findings do to the conclusion; no value for findings that concern no connection.", "rule", "severity", "effect")
	conclusionFamily   = gauge("conclusion", "1 for the conclusion of the report, 0 for the others.", "conclusion")
	certificatesFamily = gauge("certificates", "Certificates that nodes presented on connections that are open, or were within the last 24 hours; the latest one of each node, role and subject.")
	expiryFamily       = gauge("certificate_expiry_timestamp_seconds", "When each of distproof_certificates expires; 100 at most: accepted ones first, then those that expire first.", "role", "node", "subject", "accepted")
	packetsFamily      = counter("captured_packets_total", "Packets captured.")
	bytesFamily        = counter("captured_bytes_total", "Bytes captured.")
	droppedFamily      = counter("dropped_packets_total", "Packets that the kernel captured and lost, as they were not taken in time, and those that crossed an interface that was back before it was captured on again.")
	lastPacketFamily   = gauge("last_packet_timestamp_seconds", "When the last packet was captured; no value before the first.")
	interfaceUpFamily  = gauge("interface_up", "1 if an interface is there and can carry packets; 100 interfaces at most.", "interface")
	vanishedFamily     = counter("interface_vanished_total", "How often an interface went down or away; 100 interfaces at most.", "interface")
	interfacesFamily   = gauge("interfaces", "Interfaces captured on that are there and can carry packets (up 1), or not (0).", "up")
	blindFamily        = gauge("blind", "1 if nothing is seen although the kernel has traffic.")
	healthyFamily      = gauge("healthy", "1 if /healthz says so.")
	policyFamily       = gauge("policy_refused", "1 if the policy was read again and refused, so that the one before is still in force.")
	savedFamily        = counter("saved_packets_total", "Packets that --save wrote.")
	unsavedFamily      = counter("save_lost_packets_total", "Packets that --save was to write and could not.")
	unkeptFamily       = counter("save_forgotten_connections_total", "Connections whose beginnings --save forgot for lack of memory before it was known what they are.")
	missedFamily       = counter("save_missed_connections_total", "Those of the forgotten ones that turned out to be between nodes.")
	saveErrorsFamily   = counter("save_errors_total", "How often --save could not write.")
	savingFamily       = gauge("saving", "1 if --save can write, 0 if it could not when it tried last.")
	saveFilesFamily    = gauge("save_files", "Files in the folder of --save.")
	saveBytesFamily    = gauge("save_bytes", "Bytes of the files in the folder of --save.")
	statesFamily       = counter("reports_total", "Reports made; not all of them are ever asked for.")
	stateTimeFamily    = gauge("report_timestamp_seconds", "When the newest report was made.")
	startFamily        = gauge("start_timestamp_seconds", "When the watch began.")
	buildFamily        = gauge("build_info", "1; its labels say which program this is.", "version", "goversion")
)

func families() []family {
	return []family{
		connectionsFamily, verdictTimeFamily, otherFamily, stalledFamily, lostFamily, unseenFamily, listenersFamily,
		seenFamily, foldedFamily, forgottenFamily, nodesFamily, edgesFamily, findingsFamily, findingTimeFamily, conclusionFamily,
		certificatesFamily, expiryFamily, packetsFamily, bytesFamily, droppedFamily, lastPacketFamily,
		interfaceUpFamily, vanishedFamily, interfacesFamily, blindFamily, healthyFamily, policyFamily,
		savedFamily, unsavedFamily, unkeptFamily, missedFamily, saveErrorsFamily, savingFamily, saveFilesFamily, saveBytesFamily,
		statesFamily, stateTimeFamily, startFamily, buildFamily,
	}
}

// A collector makes metrics of the newest State when they are asked for.
type collector struct {
	options *Options

	// What was counted last, in the State with that number: several may scrape,
	// and large reports do not change that often.
	mu      sync.Mutex
	figures *figures
	number  uint64
}

func newCollector(o *Options) *collector { return &collector{options: o} }

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families() {
		out <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.options.State()
	c.count(s).collect(out)
	collectCounters(s, out)
	if c.options.Saved != nil {
		collectSaved(c.options.Saved(), out)
	}
	out <- healthyFamily.value(flag(c.options.health() == ""))
	out <- buildFamily.value(1, c.options.Version, runtime.Version())
}

func (c *collector) count(s *watch.State) *figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.figures == nil || c.number != s.Number {
		c.figures, c.number = count(s), s.Number
	}
	return c.figures
}

func collectCounters(s *watch.State, out chan<- prometheus.Metric) {
	out <- unseenFamily.value(float64(len(live.OneEach(s.Known))))
	out <- listenersFamily.value(float64(len(s.Listeners)))
	out <- seenFamily.value(float64(s.Connections))
	out <- forgottenFamily.value(float64(s.Forgotten))
	out <- packetsFamily.value(float64(s.Packets))
	out <- bytesFamily.value(float64(s.Bytes))
	out <- droppedFamily.value(float64(s.Dropped))
	out <- blindFamily.value(flag(s.Blind != ""))
	out <- policyFamily.value(flag(s.PolicyError != ""))
	out <- statesFamily.value(float64(s.Number))
	for f, t := range map[family]time.Time{lastPacketFamily: s.LastPacket, stateTimeFamily: s.At, startFamily: s.Started} {
		if !t.IsZero() {
			out <- f.value(seconds(t))
		}
	}
	collectInterfaces(s.Interfaces, out)
}

func collectSaved(n keep.Counters, out chan<- prometheus.Metric) {
	out <- savedFamily.value(float64(n.Packets))
	out <- unsavedFamily.value(float64(n.Lost))
	out <- unkeptFamily.value(float64(n.Forgotten))
	out <- missedFamily.value(float64(n.Missed))
	out <- saveErrorsFamily.value(float64(n.Errors))
	out <- savingFamily.value(flag(!n.Failing))
	out <- saveFilesFamily.value(float64(n.Files))
	out <- saveBytesFamily.value(float64(n.Bytes))
}

func collectInterfaces(all []live.InterfaceState, out chan<- prometheus.Metric) {
	up := 0
	listed := make(map[string]bool)
	for _, i := range all {
		if i.Up {
			up++
		}
		name := label(i.Name)
		if len(listed) == maxInterfaces || listed[name] {
			continue
		}
		listed[name] = true
		out <- interfaceUpFamily.value(flag(i.Up), name)
		out <- vanishedFamily.value(float64(i.Vanished), name)
	}
	out <- interfacesFamily.value(float64(up), "1")
	out <- interfacesFamily.value(float64(len(all)-up), "0")
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// maxLabel is how long a label's value may be, in runes.
const maxLabel = 100

// label makes text fit for a label's value: names come off the wire.
func label(text string) string {
	runes := []rune(report.Escape(text))
	if len(runes) > maxLabel {
		return string(runes[:maxLabel-1]) + "…"
	}
	return string(runes)
}

// figures are what is counted in the document of a State.
type figures struct {
	connections  map[[3]string]int // by verdict, state, open
	seen         map[string]time.Time
	other        map[string]int
	folded       map[string]uint64
	nodes, edges map[string]int
	findings     map[[4]string]int // by rule, severity, effect, open
	found        map[[3]string]time.Time
	conclusion   string
	stalled      int
	lost         uint64
	certificates []certificate
}

func count(s *watch.State) *figures {
	f := &figures{
		connections: make(map[[3]string]int), seen: make(map[string]time.Time), folded: make(map[string]uint64), findings: make(map[[4]string]int), found: make(map[[3]string]time.Time),
		other:      map[string]int{"epmd": 0, "tls": 0, "other": 0, none: 0},
		nodes:      map[string]int{"cleartext": 0, "tls": 0, "both": 0, none: 0},
		edges:      make(map[string]int),
		conclusion: s.Document.Conclusion,
	}
	f.folded[none] = 0
	for _, v := range verdicts() {
		f.edges[string(v)], f.folded[string(v)] = 0, 0
		for _, state := range states() {
			f.connections[[3]string{string(v), string(state), "true"}] = 0
			f.connections[[3]string{string(v), string(state), "false"}] = 0
		}
	}
	latest := newExpiries(s)
	for i := range s.Document.Connections {
		c := &s.Document.Connections[i]
		var now watch.Activity
		if i < len(s.Activity) {
			now = s.Activity[i]
		}
		f.connection(c, &now)
		latest.connection(c, &now)
	}
	f.certificates = latest.sorted()
	f.rest(s)
	return f
}

func (f *figures) connection(c *report.Connection, now *watch.Activity) {
	f.lost += now.Lost
	if c.Verdict == nil {
		f.other[c.Protocol]++
		return
	}
	f.connections[[3]string{*c.Verdict, c.State, truth(now.Open)}]++
	f.sawVerdict(*c.Verdict, now.Last)
	if now.Open && now.Stalled {
		f.stalled++
	}
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func (f *figures) sawVerdict(verdict string, at time.Time) {
	if at.After(f.seen[verdict]) {
		f.seen[verdict] = at
	}
}

func (f *figures) rest(s *watch.State) {
	for _, h := range s.History {
		f.folded[cmp.Or(h.Verdict, none)] += h.Connections
		if h.Verdict != "" {
			f.sawVerdict(h.Verdict, h.Last)
		}
	}
	for i := range s.Document.Nodes {
		f.nodes[cmp.Or(s.Document.Nodes[i].Listener, none)]++
	}
	for i := range s.Document.Edges {
		f.edges[s.Document.Edges[i].Verdict]++
	}
	activities := make(map[string]*watch.Activity)
	for i := range min(len(s.Document.Connections), len(s.Activity)) {
		if c := &s.Document.Connections[i]; len(c.Findings) > 0 {
			activities[c.ID] = &s.Activity[i]
		}
	}
	for i := range s.Document.Findings {
		found := &s.Document.Findings[i]
		f.finding(found.Rule, found.Severity, report.EffectOf(s.Document, found), found.Connections, activities)
	}
}

// finding counts a finding. It is open if one of its connections is, or if it
// concerns none.
func (f *figures) finding(rule, severity, effect string, connections []string, activities map[string]*watch.Activity) {
	open := len(connections) == 0
	for _, id := range connections {
		now := activities[id]
		if now == nil {
			continue
		}
		open = open || now.Open
		if key := [3]string{rule, severity, effect}; now.Last.After(f.found[key]) {
			f.found[key] = now.Last
		}
	}
	f.findings[[4]string{rule, severity, effect, truth(open)}]++
}

func (f *figures) collect(out chan<- prometheus.Metric) {
	for key, n := range f.connections {
		out <- connectionsFamily.value(float64(n), key[:]...)
	}
	for key, n := range f.findings {
		out <- findingsFamily.value(float64(n), key[:]...)
	}
	for key, at := range f.found {
		out <- findingTimeFamily.value(seconds(at), key[:]...)
	}
	for verdict, at := range f.seen {
		out <- verdictTimeFamily.value(seconds(at), verdict)
	}
	for verdict, n := range f.folded {
		out <- foldedFamily.value(float64(n), verdict)
	}
	each(out, otherFamily, f.other)
	each(out, nodesFamily, f.nodes)
	each(out, edgesFamily, f.edges)
	for _, c := range []string{"pass", "fail", "inconclusive"} {
		out <- conclusionFamily.value(flag(f.conclusion == c), c)
	}
	out <- stalledFamily.value(float64(f.stalled))
	out <- lostFamily.value(float64(f.lost))
	out <- certificatesFamily.value(float64(len(f.certificates)))
	for _, c := range f.certificates[:min(len(f.certificates), maxCertificates)] {
		out <- expiryFamily.value(seconds(c.expires), c.role, c.node, c.subject, truth(c.accepted))
	}
}

func each(out chan<- prometheus.Metric, f family, counts map[string]int) {
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		out <- f.value(float64(counts[key]), key)
	}
}
