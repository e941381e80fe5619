package tls

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// A dialogue plays application data between a client and a server of TLS, given
// the lengths of plaintexts.
func dialogue(v Version, s Suite, script string) (client, server []Record) {
	w := &outline{}
	w.play(sealScript(v, s, script))
	return w.records[0], w.records[1]
}

// sealScript replaces the numbers of a script by the lengths of records.
func sealScript(v Version, s Suite, script string) string {
	words := strings.Fields(strings.ReplaceAll(script, ",", " , "))
	for i, word := range words {
		if n, err := strconv.Atoi(word); err == nil {
			length, _ := sealedLength(v, s, n)
			words[i] = strconv.Itoa(length)
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), " , ", ",")
}

// TestShape: messages with their lengths of OTP, names of 11 and 12 bytes:
// send_name 19+N, status 4+n, challenge 23+M, reply 25, ack 21.
func TestShape(t *testing.T) {
	const gcm, ccm8 = 0xc02c, 0xc0ae
	at := func(stage Stage) Shape { return Shape{Stage: stage, Exact: true, ClientName: 11} }
	both := func(stage Stage) Shape { s := at(stage); s.ServerName = 12; return s }
	last := func(s Shape) Shape { s.last = true; return s }
	more := func(s Shape) Shape { s.More = true; return s }
	refused := at(StageName)
	refused.Refused = true
	crossed := refused
	crossed.Crossed = true
	for name, r := range map[string]struct {
		version Version
		suite   Suite
		script  string
		want    Shape
	}{
		"up":                                {TLS13, 0x1302, "c 30, s 7 35, c 25, s 21, c 100", both(StageAck)},
		"up, TLS 1.2":                       {TLS12, gcm, "c 30, s 7 35, c 25, s 21, c 100", both(StageAck)},
		"up, TLS 1.2 with ChaCha20":         {TLS12, 0xcca9, "c 30, s 7 35, c 25, s 21", both(StageAck)},
		"up, TLS 1.2 with CCM":              {TLS12, 0xc0ac, "c 30, s 7 35, c 25, s 21", both(StageAck)},
		"up, TLS 1.2 with CCM_8":            {TLS12, ccm8, "c 30, s 7 35, c 25, s 21", both(StageAck)},
		"up, TLS 1.3 with CCM_8":            {TLS13, 0x1305, "c 30, s 7 35, c 25, s 21", both(StageAck)},
		"ok_simultaneous":                   {TLS13, 0x1302, "c 30, s 20 35, c 25, s 21", both(StageAck)},
		"alive, answered true":              {TLS13, 0x1302, "c 30, s 10, c 9, s 35, c 25, s 21", both(StageAck)},
		"alive, answered false":             {TLS13, 0x1302, "c 30, s 10, c 10", at(StageStatus)},
		"old name, with its complement":     {TLS13, 0x1302, "c 22, s 7 35, c 13 25, s 21", both(StageAck)},
		"alive, and an old name":            {TLS13, 0x1302, "c 22, s 10, c 9, s 35, c 13 25, s 21", both(StageAck)},
		"a wrong cookie":                    {TLS13, 0x1302, "c 30, s 7 35, c 25", last(both(StageReply))},
		"a wrong cookie, with alerts":       {TLS13, 0x1302, "c 30, s 7 35, c 25, s 2, c 2", last(both(StageReply))},
		"something else than the ack":       {TLS13, 0x1302, "c 30, s 7 35, c 25, s 22", more(both(StageReply))},
		"no answer, and the client goes on": {TLS13, 0x1302, "c 30, s 7 35, c 25 30", both(StageReply)},
		"nok":                               {TLS13, 0x1302, "c 30, s 8", crossed},
		"nok, and an alert":                 {TLS13, 0x1302, "c 30, s 8 2", crossed},
		"not_allowed":                       {TLS13, 0x1302, "c 30, s 16", refused},
		"nok, TLS 1.2":                      {TLS12, gcm, "c 30, s 8", crossed},
		"status only":                       {TLS13, 0x1302, "c 30, s 7", at(StageStatus)},
		"challenge only":                    {TLS13, 0x1302, "c 30, s 7 35", both(StageChallenge)},
		"another answer":                    {TLS13, 0x1302, "c 30, s 7 35, c 26", both(StageChallenge)},
		"name only":                         {TLS13, 0x1302, "c 30", at(StageName)},
		"no status":                         {TLS13, 0x1302, "c 30, s 9 35, c 25, s 21", more(at(StageName))},
		"nothing":                           {TLS13, 0x1302, "s 7 35", more(Shape{})},
		"too short a name":                  {TLS13, 0x1302, "c 21, s 7 35, c 25, s 21", more(Shape{})},
		"the shortest name":                 {TLS13, 0x1302, "c 22", Shape{Stage: StageName, Exact: true, ClientName: 3}},
		"the longest name":                  {TLS13, 0x1302, "c 1043", Shape{Stage: StageName, Exact: true, ClientName: 1024}},
		"too long a name":                   {TLS13, 0x1302, "c 1044, s 7 35, c 25, s 21", more(Shape{})},
		"server's name too short":           {TLS13, 0x1302, "c 30, s 7 25, c 25, s 21", more(Shape{Stage: StageStatus, Exact: true, ClientName: 11, ServerName: 2})},
		"server's name too long":            {TLS13, 0x1302, "c 30, s 7 1048, c 25, s 21", more(Shape{Stage: StageStatus, Exact: true, ClientName: 11, ServerName: 1025})},
		"two tickets before":                {TLS13, 0x1302, "s 200 200, c 30, s 7 35, c 25, s 21", both(StageAck)},
		"four tickets before":               {TLS13, 0x1302, "s 200 200 200 200, c 30, s 7 35, c 25, s 21", both(StageAck)},
		"five are too many":                 {TLS13, 0x1302, "s 200 200 200 200 200, c 30, s 7 35, c 25, s 21", more(at(StageName))},
		"no tickets among data in TLS 1.2":  {TLS12, gcm, "s 200, c 30, s 7 35, c 25, s 21", more(at(StageName))},

		// A dialogue of the same sizes, in which a side does not wait for the other.
		"status before the name":     {TLS13, 0x1302, "s 7 35, c 30 25, s 21", more(at(StageName))},
		"reply before the challenge": {TLS13, 0x1302, "c 30, s 7, c 25, s 35 21", more(both(StageChallenge))},
		"reply at once":              {TLS13, 0x1302, "c 30 25, s 7 35 21", more(both(StageChallenge))},
		"ack before the reply":       {TLS13, 0x1302, "c 30, s 7 35 21, c 25", more(both(StageReply))},

		// Suites that do not tell.
		"CBC":     {TLS12, 0xc024, "c 30, s 7 35, c 25, s 21", Shape{Stage: StageAck}},
		"RC4":     {TLS12, 0x0005, "c 30, s 7 35, c 25, s 21", more(Shape{})},
		"unknown": {TLS12, 0xabcd, "c 30, s 7 35, c 25, s 21", more(Shape{})},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := dialogue(r.version, r.suite, r.script)
			got := shape(r.version, r.suite, client, server)
			if !got.Exact { // lengths of names are not valid then
				got.ClientName, got.ServerName, got.last = 0, 0, false
			}
			if got != r.want {
				t.Errorf("got  %+v\nwant %+v", got, r.want)
			}
		})
	}
}

func TestDistribution(t *testing.T) {
	up := Shape{Stage: StageAck, Exact: true, ClientName: 11, ServerName: 13}
	wrongCookie := Shape{Stage: StageReply, Exact: true, ClientName: 11, ServerName: 13, last: true}
	with := func(s Shape, change func(*Shape)) Shape { change(&s); return s }
	for name, r := range map[string]struct {
		shape  Shape
		host   string
		closed bool
		want   bool
	}{
		"up":                               {up, "n2.lab", false, true},
		"up, without a name asked for":     {up, "", false, true},
		"up, host with room for a letter":  {up, "0123456789a", false, true},
		"up, host without room":            {up, "0123456789ab", false, false},
		"not exact":                        {with(up, func(s *Shape) { s.Exact = false }), "n2.lab", false, false},
		"wrong cookie":                     {wrongCookie, "n2.lab", true, true},
		"wrong cookie, open":               {wrongCookie, "n2.lab", false, false},
		"wrong cookie, no name asked for":  {wrongCookie, "", true, false},
		"wrong cookie, host without room":  {wrongCookie, "0123456789ab", true, false},
		"a reply, and something behind it": {with(wrongCookie, func(s *Shape) { s.last = false }), "n2.lab", true, false},
		"a challenge":                      {with(wrongCookie, func(s *Shape) { s.Stage = StageChallenge }), "n2.lab", true, false},
		"nothing":                          {Shape{}, "n2.lab", true, false},
	} {
		if got := r.shape.distribution(r.host, r.closed); got != r.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestSealedLength(t *testing.T) {
	for name, r := range map[string]struct {
		version Version
		suite   Suite
		plain   int
		want    int
		exact   bool
	}{
		"TLS 1.3, a tick":                     {TLS13, 0x1302, 4, 21, true},
		"TLS 1.3 with CCM_8, a tick":          {TLS13, 0x1305, 4, 13, true},
		"AES-GCM, a tick":                     {TLS12, 0xc02c, 4, 28, true},
		"ChaCha20, a tick":                    {TLS12, 0xcca8, 4, 20, true},
		"CCM, a tick":                         {TLS12, 0xc0ac, 4, 28, true},
		"CCM_8, a tick":                       {TLS12, 0xc0ae, 4, 20, true},
		"CBC with SHA-1":                      {TLS12, 0xc013, 4, 16 + 32, false},
		"CBC with SHA-1, up to a block":       {TLS12, 0xc013, 11, 16 + 32, false},
		"CBC with SHA-1, a block of padding":  {TLS12, 0xc013, 12, 16 + 48, false},
		"CBC with SHA-256":                    {TLS12, 0xc023, 4, 16 + 48, false},
		"CBC with SHA-384":                    {TLS12, 0xc024, 4, 16 + 64, false},
		"CBC before explicit vectors":         {TLS10, 0xc013, 4, 32, false},
		"3DES":                                {TLS12, 0x000a, 4, 8 + 32, false},
		"RC4 is not known":                    {TLS12, 0x0005, 4, 0, false},
		"no encryption is not known":          {TLS12, 0x003b, 4, 0, false},
		"what is not in the table is unknown": {TLS12, 0xabcd, 4, 0, false},
	} {
		if got, exact := sealedLength(r.version, r.suite, r.plain); got != r.want || exact != r.exact {
			t.Errorf("%s: %d, exact %t; want %d", name, got, exact, r.want)
		}
	}
}

// A chat makes up application data of a protocol that is not distribution, in
// plaintext lengths: what each side says in turn, the client first.
type chat func(r *rand.Rand) [][]int

func within(r *rand.Rand, a, b int) int { return a + r.IntN(b-a+1) }

func pick(r *rand.Rand, n ...int) int { return n[r.IntN(len(n))] }

// turns repeats a request and its answer.
func turns(r *rand.Rand, most int, request, answer func() []int) (out [][]int) {
	for range 1 + r.IntN(most) {
		out = append(out, request(), answer())
	}
	return out
}

var chats = map[string]chat{
	"https": func(r *rand.Rand) [][]int {
		return turns(r, 4, func() []int { return []int{within(r, 16, 900)} },
			func() []int { return []int{within(r, 90, 600), within(r, 1, 1<<14), 5}[:1+r.IntN(3)] })
	},
	"amqps": func(r *rand.Rand) [][]int {
		out := [][]int{{8}, {within(r, 380, 560)}, {within(r, 150, 420)}, {20}, {20, within(r, 14, 30)}, {13}}
		return append(out, turns(r, 4, func() []int { return []int{pick(r, 8, 13, 16, within(r, 20, 200))} }, func() []int { return []int{pick(r, 8, 13, 16, within(r, 12, 60))} })...)
	},
	"smtp": func(r *rand.Rand) [][]int {
		return append([][]int{nil, {within(r, 20, 80)}}, turns(r, 6, func() []int { return []int{pick(r, 6, within(r, 8, 60), within(r, 60, 3000))} },
			func() []int { return []int{within(r, 8, 60), within(r, 8, 60)}[:1+r.IntN(2)] })...)
	},
	"imap": func(r *rand.Rand) [][]int {
		return append([][]int{nil, {within(r, 15, 120)}}, turns(r, 6, func() []int { return []int{within(r, 8, 60)} },
			func() []int { return []int{within(r, 8, 60), within(r, 10, 2000)}[:1+r.IntN(2)] })...)
	},
	// "$1\r\n1\r\n" and "+PONG\r\n" have a status's length, a GET a reply's.
	"redis": func(r *rand.Rand) [][]int {
		return turns(r, 8, func() []int { return []int{pick(r, 14, 20, 22, 24, 25, 26, within(r, 20, 60))} },
			func() []int { return []int{pick(r, 4, 5, 7, 7, 8, 10, 20, 21, within(r, 4, 60))} })
	},
	// Commands in a row before their answers.
	"redis, pipelined": func(r *rand.Rand) [][]int {
		n := within(r, 1, 4)
		return turns(r, 5, func() []int { return []int{n * pick(r, 22, 25, within(r, 20, 40))} },
			func() []int {
				var out []int
				for range n {
					out = append(out, pick(r, 4, 5, 7, 10, 21, within(r, 4, 40)))
				}
				return out
			})
	},
	"postgres": func(r *rand.Rand) [][]int {
		out := [][]int{{within(r, 40, 120)}, {pick(r, 13, 24, 42)}, {pick(r, 41, within(r, 55, 110))}, {within(r, 90, 100)}, {within(r, 100, 110)}, {within(r, 300, 500)}}
		return append(out, turns(r, 4, func() []int { return []int{within(r, 15, 300)} }, func() []int { return []int{within(r, 14, 4000)} })...)
	},
	"http/2 with pings": func(r *rand.Rand) [][]int {
		return append([][]int{{24 + 9 + within(r, 0, 40)}, {9 + within(r, 0, 40), 9}}, turns(r, 8, func() []int { return []int{pick(r, 9, 13, 17, 17, within(r, 20, 300))} },
			func() []int {
				return []int{pick(r, 9, 13, 17, 17, within(r, 20, 900)), pick(r, 9, 17, within(r, 9, 4000))}[:1+r.IntN(2)]
			})...)
	},
	"websocket": func(r *rand.Rand) [][]int {
		return append([][]int{{within(r, 150, 600)}, {within(r, 100, 300)}}, turns(r, 10, func() []int { return []int{pick(r, 6, 7, within(r, 7, 131))} },
			func() []int { return []int{pick(r, 2, within(r, 3, 127)), pick(r, 2, within(r, 3, 127))}[:1+r.IntN(2)] })...)
	},
}

// TestOtherProtocolsAreNotDistribution: a false one would put a service of
// somebody else on the list of nodes.
func TestOtherProtocolsAreNotDistribution(t *testing.T) {
	times := 10_000
	if testing.Short() {
		times = 1_000
	}
	for name, c := range chats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			for range times {
				w := &outline{suite: 0x1302}
				w.play("s 23 470 96 69, c 69")
				script := []string{"s 233 233"}[:r.IntN(2)]
				for i, lengths := range c(r) {
					words := []string{[]string{"c", "s"}[i%2]}
					for _, n := range lengths {
						words = append(words, strconv.Itoa(n))
					}
					script = append(script, strings.Join(words, " "))
				}
				w.play(sealScript(TLS13, w.suite, strings.Join(script, ",")))
				if f := w.facts(Ending{Whole: true, ClosedBy: Role(r.IntN(3))}); f.Distribution || f.Ticking {
					t.Fatalf("%s is distribution: %+v", script, f.Shape)
				}
			}
		})
	}
}

// TestRequestsLikeDistribution: requests and answers that have its sizes, but
// not its order.
func TestRequestsLikeDistribution(t *testing.T) {
	for _, script := range []string{
		"c 25, s 7, c 25, s 36",             // two GETs of Redis
		"c 25, s 7, c 25, s 36, c 25, s 21", // three
		"c 25, s 7, c 25, s 36 21",          // pushed
		"c 30, s 7 35, c 25, s 30, c 40",    // nearly a refused cookie
		"s 7 35, c 30, c 25, s 21",          // the server begins
		"c 30, s 7 35, c 26, s 21", "c 30, s 6 35, c 25, s 21", "c 30, s 7 35, c 25, s 22",
	} {
		w := &outline{suite: 0x1302}
		w.play("s 23 470 96 69, c 69, " + sealScript(TLS13, 0x1302, script))
		if f := w.facts(Ending{Whole: true, ClosedBy: RoleClient}); f.Distribution {
			t.Errorf("%s is distribution: %+v", script, f.Shape)
		}
	}
}

// TestShapeOfADynamicName: a node that asks its peer for a name sends only its
// host, and gets "named:" for a status (DFLAG_NAME_ME). The sizes were recorded.
func TestShapeOfADynamicName(t *testing.T) {
	client := []Record{{Type: TypeApplicationData, Length: 38}, {Type: TypeApplicationData, Length: 42, Offset: 43, Acked: 55 + 56}}
	server := []Record{
		{Type: TypeApplicationData, Length: 50, Acked: 43},
		{Type: TypeApplicationData, Length: 51, Offset: 55, Acked: 43},
		{Type: TypeApplicationData, Length: 38, Offset: 55 + 56, Acked: 43 + 47},
	}
	got := shape(TLS13, 0x1302, client, server)
	if !got.Named || got.Stage != StageAck || got.ClientName != len("2DBR1RZ0UO152@vm") || got.ServerName != len("b@localhost") {
		t.Errorf("%+v", got)
	}
	if got.distribution("", false) {
		t.Error("taken for a proof of distribution")
	}
}
