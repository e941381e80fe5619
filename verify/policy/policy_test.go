package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distproof/decode/fact"
	"distproof/decode/tls"
	"distproof/internal/allocs"
	"distproof/internal/formatcheck"
	"distproof/verify"
	"distproof/verify/policy"
)

var update = flag.Bool("update", false, "rewrite what the tests expect")

// golden compares with a file beside the test's input.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// files returns the policies of a folder of testdata, by their names.
func files(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/" + folder + "/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no policies in %s: %v", folder, err)
	}
	out := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = data
	}
	return out
}

// What is wrong is told with line and column, all at once.
func TestErrors(t *testing.T) {
	for name, data := range files(t, "wrong") {
		f, err := policy.Parse(data, name)
		wrong, ok := errors.AsType[policy.Errors](err)
		if f != nil || !ok {
			t.Errorf("%s: %v, %v", name, f, err)
			continue
		}
		var b strings.Builder
		for _, e := range wrong {
			fmt.Fprintln(&b, e)
			if lines := bytes.Count(data, []byte("\n")); e.Line < 1 || e.Line > lines+1 || e.Column < 1 {
				t.Errorf("%s: no such place: %v", name, e)
			}
		}
		golden(t, "testdata/wrong/"+strings.TrimSuffix(name, ".yaml")+".txt", b.String())
	}
}

func TestBuiltins(t *testing.T) {
	if got := policy.Builtins(); !slices.Equal(got, []string{"encrypted", "mutual", "observe"}) {
		t.Errorf("%q", got)
	}
	for _, name := range policy.Builtins() {
		f, ok := policy.Builtin(name)
		if !ok || string(f.Options.Policy.Require) != name || f.Options.Policy.Name != "builtin:"+name || len(f.Options.Policy.Places) > 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, ok := policy.Builtin("../mutual"); ok {
		t.Error("a path is a built-in policy")
	}
}

// Every key arrives where it belongs.
func TestEveryKey(t *testing.T) {
	f, err := policy.Parse(files(t, "right")["full.yaml"], "full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o, p := f.Options, f.Options.Policy
	got := fmt.Sprintln(o.AllowNodes, o.AllowNetworks, o.AllowPorts, o.EPMDNetworks, p.EPMDPorts, p.Certificates.Issuers, p.Expect.Nodes, p.Expect.Edges, p.Severities, p.FailOn, f.Unseen)
	want := "[app@*.example.org *@tools.example.org] [10.20.0.0/16 fd00::/8 10.30.0.7/32] [9100-9105 4370] [10.20.0.0/16] [4369] [CN=cluster CA,O=Example] " +
		"[app@n1.example.org app@n2.example.org 10.20.0.9] [[app@n1.example.org 10.20.0.9] [*@n2.example.org app@n1.example.org]] map[DP107:medium DP111:off DP402:high] medium accept\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if p.Require != verify.RequireMutual || p.Basis != fact.Observed || p.MinTLS != tls.TLS13 || !p.Expect.FullMesh || p.Expect.Connections != 3 || o.ExpiresWithin != 14*24*time.Hour {
		t.Errorf("%+v", p)
	}
	if c := p.Certificates; !c.AnyHost || c.MinRSA != 3072 || c.MinCurve != 256 || c.Seen || len(c.CAs) != 2 || c.CAs[0][31] != 0xda || c.CAs[1][31] != 0xdb {
		t.Errorf("%+v", c)
	}
	if len(f.CAs) != 2 || f.CAs[1] != (policy.Ref{Path: "/etc/ssl/erl", Place: verify.Place{Path: "full.yaml", Line: 13}}) || f.Cookies[0].Path != "old-cookies.txt" {
		t.Errorf("%+v %+v", f.CAs, f.Cookies)
	}
	if len(p.Exceptions) != 2 {
		t.Fatalf("%+v", p.Exceptions)
	}
	e := p.Exceptions[0]
	if fmt.Sprintln(e.Peers, e.Networks, e.Rules, e.Reason, e.Owner, e.Expires.Format(time.DateOnly), e.AllowCritical, e.Place) !=
		"[couchdb@127.0.0.1 clouseau@127.0.0.1] [127.0.0.0/8] [DP101 DP205 DP207] clouseau has no TLS search team 2027-06-30 true full.yaml:38\n" {
		t.Errorf("%+v", e)
	}
	for setting, line := range map[string]int{"distribution.require": 5, "tls.min_version": 11, "expect.nodes[2]": 27, "expect.edges[1]": 29, "severities.DP107": 34, "fail_on": 36} {
		if got := p.Places[setting]; got != (verify.Place{Path: "full.yaml", Line: line}) {
			t.Errorf("%s is at %v", setting, got)
		}
	}
}

// Certificates of which a policy asks something must be seen, unless it says
// that they need not.
func TestUnseen(t *testing.T) {
	for text, want := range map[string]bool{
		"version: 1":                                                  false,
		"version: 1\ncertificates: {cas: [a]}":                        true,
		"version: 1\ncertificates: {min_rsa_bits: 3072}":              true,
		"version: 1\ncertificates: {expires_within: 3}":               false,
		"version: 1\ncertificates: {cas: [a], unseen: accept}":        false,
		"version: 1\ncertificates: {unseen: inconclusive}":            true,
		"version: 1\ncertificates: {issuers: [CN=x], unseen: accept}": false,
	} {
		f, err := policy.Parse([]byte(text), "p")
		if err != nil || f.Options.Policy.Certificates.Seen != want {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
}

// The days of exceptions end at midnight UTC.
func TestExpiry(t *testing.T) {
	f, err := policy.Parse([]byte("version: 1\nexceptions: [{rules: [DP101], reason: r, owner: o, expires: 2027-01-31}]"), "p")
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(2027, 1, 31, 23, 59, 59, 999_999_999, time.UTC)
	for at, want := range map[time.Time]bool{
		last: false, last.Add(1): true, last.In(time.FixedZone("", -8*3600)): false, last.Add(1).In(time.FixedZone("", 14*3600)): true,
		{}: true, last.AddDate(-10, 0, 0): false,
	} {
		if got := f.Options.Policy.Exceptions[0].ExpiredAt(at); got != want {
			t.Errorf("%s: expired %t", at, got)
		}
	}
}

// What Show writes is the policy that it was given.
func TestShow(t *testing.T) {
	all := files(t, "right")
	for _, name := range policy.Builtins() {
		all["builtin:"+name], _ = policy.BuiltinText(name)
	}
	for name, data := range all {
		f, err := policy.Parse(data, name)
		if err != nil {
			t.Fatal(err)
		}
		f.Options.Policy.Now = time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
		text := policy.Show(f)
		if !strings.HasPrefix(name, "builtin:") {
			golden(t, "testdata/right/"+strings.TrimSuffix(name, ".yaml")+".txt", text)
		}
		if err := formatcheck.YAML([]byte(text), "schema.json"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := policy.Parse([]byte(text), name)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		again.Options.Policy.Now = f.Options.Policy.Now
		if diff := cmp.Diff(bare(f), bare(again)); diff != "" {
			t.Errorf("%s (-given +shown):\n%s", name, diff)
		}
	}
}

// bare is a policy without the lines on which it says things.
func bare(f *policy.File) string {
	copied := *f
	p := &copied.Options.Policy
	p.Places = nil
	p.Exceptions = slices.Clone(p.Exceptions)
	for i := range p.Exceptions {
		p.Exceptions[i].Place = verify.Place{}
	}
	for _, list := range []*[]policy.Ref{&copied.CAs, &copied.Cookies} {
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i].Place = verify.Place{}
		}
	}
	copied.Unseen = ""
	return fmt.Sprintf("%+v", copied)
}

// A flag is told as the origin of what it sets.
func TestShowOverridden(t *testing.T) {
	f, _ := policy.Builtin("encrypted")
	f.Options.Policy.FailOn = verify.Low
	f.Set("fail_on", "--fail-on")
	f.Options.AllowNodes = []verify.NodeGlob{must(verify.ParseNodeGlob("a/[b]\\*@\x1b\"\n"))}
	f.Set("distribution.nodes", "DISTPROOF_ALLOW_NODE")
	text := policy.Show(f)
	for _, want := range []string{
		"  require: encrypted  # builtin:encrypted\n", "fail_on: low  # --fail-on\n", "  nodes:  # DISTPROOF_ALLOW_NODE\n    - \"a/[b]\\\\*@\\x1b\\\"\\n\"\n",
		"  # networks: any (default)\n", "# tls:\n  # min_version: any",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	again, err := policy.Parse([]byte(text), "p")
	if err != nil || !reflect.DeepEqual(again.Options.AllowNodes, f.Options.AllowNodes) {
		t.Errorf("%v: %+v", err, again)
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// The schema takes what the parser takes, and knows the same keys.
func TestSchema(t *testing.T) {
	if !json.Valid(policy.Schema()) {
		t.Fatal("the schema is not JSON")
	}
	all := files(t, "right")
	for _, name := range policy.Builtins() {
		all[name], _ = policy.BuiltinText(name)
	}
	for name, data := range all {
		if err := formatcheck.YAML(data, "schema.json"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What only a program can tell: days that are none, ranges the wrong way
	// round, contradictions, protected rules, duplicate keys, tricks.
	beyond := []string{"contradictions.yaml", "twice.yaml", "tricks.yaml", "indent.yaml", "tab.yaml", "documents.yaml", "empty.yaml"}
	for name, data := range files(t, "wrong") {
		if err := formatcheck.YAML(data, "schema.json"); err == nil && !slices.Contains(beyond, name) {
			t.Errorf("the schema takes %s", name)
		}
	}
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
		Defs       struct {
			Exception struct{ Properties map[string]any }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(policy.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for name, p := range schema.Properties {
		keys = append(keys, name)
		for sub := range p.Properties {
			keys = append(keys, name+"."+sub)
		}
	}
	for sub := range schema.Defs.Exception.Properties {
		keys = append(keys, "exceptions."+sub)
	}
	slices.Sort(keys)
	known := policy.Keys()
	slices.Sort(known)
	if diff := cmp.Diff(known, keys); diff != "" {
		t.Errorf("keys (-parser +schema):\n%s", diff)
	}
}

// docs/policy.md explains every key, and its examples are policies.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range policy.Keys() {
		name := key[strings.LastIndexByte(key, '.')+1:]
		if !strings.HasPrefix(key, "severities.") && !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/policy.md says nothing of %s", key)
		}
	}
	n := 0
	for part := range strings.SplitSeq(string(page), "```yaml\n") {
		text, _, fenced := strings.Cut(part, "```")
		if !fenced || !strings.Contains(text, "version: 1") {
			continue
		}
		n++
		if _, err := policy.Parse([]byte(text), "docs/policy.md"); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if err := formatcheck.YAML([]byte(text), "schema.json"); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if n < 3 {
		t.Errorf("only %d examples", n)
	}
}

// What is too long, or would grow, is refused in no time.
func TestBounds(t *testing.T) {
	bomb := "version: 1\na: &a [x, x]\n"
	for i := range 40 {
		bomb += fmt.Sprintf("b%d: &b%d [*a, *a]\n", i, i)
	}
	for name, text := range map[string]string{
		"bomb":   bomb,
		"long":   "version: 1\n#" + strings.Repeat("x", policy.MaxSize),
		"deep":   "version: 1\ntls: " + strings.Repeat("[", 100_000),
		"deeper": "version: 1\ntls: " + strings.Repeat("{a: ", 5000),
		"nodes":  "version: 1\nexpect: {nodes: [" + strings.Repeat("a@b, ", 5000) + "]}",
		"many":   "version: 1\n" + strings.Repeat("x: 1\n", 100_000),
	} {
		f, err := policy.Parse([]byte(text), "p")
		if wrong, ok := errors.AsType[policy.Errors](err); f != nil || !ok || len(wrong) > 20 || len(err.Error()) > 500 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// FuzzParse: there is either a policy or a bounded number of errors with their
// places, memory is bounded, and a policy that is shown is the same policy.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"right", "wrong"} {
		for _, data := range files(f, folder) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *policy.File
		var err error
		if n := allocs.Of(func() { file, err = policy.Parse(data, "p") }); n > uint64(4<<20+2000*len(data)) {
			t.Fatalf("%d bytes allocated for %d", n, len(data))
		}
		if (file == nil) == (err == nil) {
			t.Fatalf("%v, %v", file, err)
		}
		if err != nil {
			wrong, ok := errors.AsType[policy.Errors](err)
			if !ok || len(wrong) == 0 || len(wrong) > 20 || err.Error() == "" {
				t.Fatal(err)
			}
			for _, e := range wrong {
				if e.Line < 1 || e.Column < 1 || e.Message == "" {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		again, err := policy.Parse([]byte(policy.Show(file)), "p")
		if err != nil {
			t.Fatalf("%v\n%s", err, policy.Show(file))
		}
		if diff := cmp.Diff(bare(file), bare(again)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// README's example is a policy.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\nversion: 1")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md has no policy")
	}
	if _, err := policy.Parse([]byte("version: 1"+text), "README.md"); err != nil {
		t.Error(err)
	}
}

// The schema offers the severities that a rule may have, and the rules that
// exceptions may name. What depends on require it leaves to the parser.
func TestSchemaOfRules(t *testing.T) {
	type words struct{ Enum []string }
	var schema struct {
		Properties struct {
			Severities struct{ Properties map[string]words }
		}
		Defs struct {
			Exception struct {
				Properties struct {
					Rules struct{ Items words }
				}
			}
		} `json:"$defs"`
	}
	// Versions of TLS are numbers, too; they are not looked at here.
	if err := json.Unmarshal(policy.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var excepted []string
	for _, rule := range verify.Rules() {
		var may []string
		for _, s := range []verify.Severity{verify.Critical, verify.High, verify.Medium, verify.Low, verify.Info, verify.Off} {
			if rule.MayBe(s, verify.RequireEncrypted) == "" {
				may = append(may, string(s))
			}
		}
		if got := schema.Properties.Severities.Properties[string(rule)].Enum; !slices.Equal(got, may) {
			t.Errorf("%s: the schema has %q, the parser takes %q", rule, got, may)
		}
		if rule.CanBeExcepted() == "" {
			excepted = append(excepted, string(rule))
		}
	}
	if got := schema.Defs.Exception.Properties.Rules.Items.Enum; !slices.Equal(got, excepted) {
		t.Errorf("exceptions: the schema has %q, the parser takes %q", got, excepted)
	}
}
