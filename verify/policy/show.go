package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"distproof/decode/fact"
	"distproof/verify"
)

// A shown is a setting as it is written.
type shown struct {
	section, key string
	// values are those of a list, or the only one; fallback is what holds
	// without any.
	list     bool
	values   []string
	fallback string
}

// Show writes the effective policy, and beside every value where it was made. It
// is a policy itself.
func Show(f *File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: %d\n", Version)
	all := settingsOf(f)
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(s shown) bool { return s.section != all[0].section })
		if n < 0 {
			n = len(all)
		}
		showSection(&b, f, all[:n])
		all = all[n:]
	}
	showEdges(&b, f)
	showSeverities(&b, f)
	showExceptions(&b, f)
	return b.String()
}

// settingsOf lists all settings but those of severities, edges and exceptions.
func settingsOf(f *File) []shown {
	o := &f.Options
	p := &o.Policy
	one := func(section, key, value, fallback string) shown {
		return shown{section, key, false, []string{value}, fallback}
	}
	list := func(section, key string, values []string, fallback string) shown {
		return shown{section, key, true, values, fallback}
	}
	var prints []string
	for _, sum := range p.Certificates.CAs {
		prints = append(prints, fmt.Sprintf("%x", sum))
	}
	version := ""
	if p.MinTLS != 0 {
		version = p.MinTLS.String()
	}
	unseen := unseenAccept
	if p.Certificates.Seen {
		unseen = unseenInconclusive
	}
	return []shown{
		one("distribution", "require", string(p.Require), ""),
		one("distribution", "basis", max(p.Basis, fact.Inferred).String(), "inferred"),
		list("distribution", "nodes", texts(o.AllowNodes), "any"),
		list("distribution", "networks", texts(o.AllowNetworks), "any"),
		list("distribution", "ports", texts(o.AllowPorts), "any"),
		one("tls", "min_version", version, "any; older than 1.2 is weak (DP107)"),
		list("certificates", "cas", refs(f.CAs), "chains are not checked"),
		list("certificates", "issuers", p.Certificates.Issuers, "any"),
		list("certificates", "ca_fingerprints", prints, "any"),
		one("certificates", "expires_within", strconv.Itoa(int(o.ExpiresWithin/(24*time.Hour))), strconv.Itoa(int(ExpiresWithin/(24*time.Hour)))),
		one("certificates", "host_match", strconv.FormatBool(!p.Certificates.AnyHost), "true"),
		one("certificates", "min_rsa_bits", strconv.Itoa(p.Certificates.MinRSA), "2048"),
		one("certificates", "min_ec_bits", strconv.Itoa(p.Certificates.MinCurve), "224"),
		one("certificates", "unseen", unseen, unseen),
		list("epmd", "networks", texts(o.EPMDNetworks), "loopback and private networks"),
		list("epmd", "ports", texts(p.EPMDPorts), "any"),
		list("", "cookies", refs(f.Cookies), "those that products ship"),
		one("", "fail_on", string(p.FailOn), "high"),
		list("expect", "nodes", texts(p.Expect.Nodes), "none"),
		one("expect", "full_mesh", strconv.FormatBool(p.Expect.FullMesh), "false"),
		one("expect", "connections", strconv.Itoa(p.Expect.Connections), "at least one"),
	}
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}

func refs(list []Ref) []string {
	var out []string
	for _, r := range list {
		out = append(out, r.Path)
	}
	return out
}

// origin says where a setting was made; made is false if nowhere.
func (f *File) origin(setting string) (where string, made bool) {
	if at, ok := f.Options.Policy.Places[setting]; ok {
		return escape(at.String()), true
	}
	return "default", false
}

// showSection writes the settings of a section. Without any that was made, all
// of it is a comment.
func showSection(b *strings.Builder, f *File, settings []shown) {
	section := settings[0].section
	any := slices.ContainsFunc(settings, func(s shown) bool { return s.made(f) })
	indent := "  "
	switch {
	case section == "":
		indent = ""
	case any || section == "expect" && len(f.Options.Policy.Expect.Edges) > 0:
		fmt.Fprintf(b, "%s:\n", section)
	default:
		fmt.Fprintf(b, "# %s:\n", section)
	}
	for _, s := range settings {
		s.write(b, f, indent)
	}
}

func (s shown) setting() string { return strings.TrimPrefix(s.section+"."+s.key, ".") }

// made reports whether a setting is written, and not only told in a comment.
func (s shown) made(f *File) bool {
	_, made := f.origin(s.setting())
	return made || s.setting() == "distribution.require"
}

func (s shown) write(b *strings.Builder, f *File, indent string) {
	where, made := f.origin(s.setting())
	if !made && strings.HasPrefix(f.Options.Policy.Name, "builtin:") && s.key == "require" {
		where = f.Options.Policy.Name
	}
	switch {
	case !s.made(f):
		fmt.Fprintf(b, "%s# %s: %s (%s)\n", indent, s.key, s.fallback, where)
	case !s.list:
		fmt.Fprintf(b, "%s%s: %s  # %s\n", indent, s.key, scalar(s.values[0]), where)
	default:
		fmt.Fprintf(b, "%s%s:  # %s\n", indent, s.key, where)
		for _, v := range s.values {
			fmt.Fprintf(b, "%s  - %s\n", indent, scalar(v))
		}
	}
}

func showEdges(b *strings.Builder, f *File) {
	edges := f.Options.Policy.Expect.Edges
	if len(edges) == 0 {
		return
	}
	where, _ := f.origin("expect.edges")
	fmt.Fprintf(b, "  edges:  # %s\n", where)
	for _, e := range edges {
		fmt.Fprintf(b, "    - [%s, %s]\n", scalar(e[0].String()), scalar(e[1].String()))
	}
}

func showSeverities(b *strings.Builder, f *File) {
	p := &f.Options.Policy
	if len(p.Severities) == 0 {
		fmt.Fprintf(b, "# severities: those of the rules (default)\n")
		return
	}
	fmt.Fprintf(b, "severities:\n")
	for _, rule := range verify.Rules() {
		if s, ok := p.Severities[rule]; ok {
			where, _ := f.origin("severities." + string(rule))
			fmt.Fprintf(b, "  %s: %s  # %s\n", rule, quote(string(s)), where)
		}
	}
}

func showExceptions(b *strings.Builder, f *File) {
	p := &f.Options.Policy
	if len(p.Exceptions) == 0 {
		fmt.Fprintf(b, "# exceptions: none (default)\n")
		return
	}
	fmt.Fprintf(b, "exceptions:\n")
	for i := range p.Exceptions {
		e := &p.Exceptions[i]
		note := ""
		if e.ExpiredAt(p.Now) {
			note = "; expired"
		}
		fmt.Fprintf(b, "  -  # %s%s\n", escape(e.Place.String()), note)
		switch len(e.Peers) {
		case 1:
			fmt.Fprintf(b, "    node: %s\n", scalar(e.Peers[0].String()))
		case 2:
			fmt.Fprintf(b, "    edge: [%s, %s]\n", scalar(e.Peers[0].String()), scalar(e.Peers[1].String()))
		}
		flow(b, "networks", texts(e.Networks))
		var rules []string
		for _, rule := range e.Rules {
			rules = append(rules, string(rule))
		}
		flow(b, "rules", rules)
		fmt.Fprintf(b, "    reason: %s\n    owner: %s\n    expires: %s\n", quote(e.Reason), quote(e.Owner), e.Expires.Format(time.DateOnly))
		if e.AllowCritical {
			fmt.Fprintf(b, "    allow_critical: true\n")
		}
	}
}

// flow writes a list in a line; nothing if it is empty.
func flow(b *strings.Builder, key string, values []string) {
	if len(values) == 0 {
		return
	}
	for i, v := range values {
		values[i] = scalar(v)
	}
	fmt.Fprintf(b, "    %s: [%s]\n", key, strings.Join(values, ", "))
}

var (
	plain   = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9@._/-]*|\d{1,9}|\d+-\d+|\d+\.\d+\.\d+\.\d+(/\d+)?)$`)
	special = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|null)$`)
)

// scalar writes a value, in quotes if YAML could take it for something else.
func scalar(s string) string {
	if plain.MatchString(s) && !special.MatchString(s) {
		return s
	}
	return quote(s)
}

// quote writes a text in quotes: what Go escapes, YAML does likewise.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// escape makes text fit for a comment.
func escape(s string) string {
	q := quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
