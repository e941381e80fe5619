package verify

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryRuleHasTitleAndFix(t *testing.T) {
	id := regexp.MustCompile(`^DP[1234]\d\d$`)
	for rule := range titles {
		if !id.MatchString(string(rule)) || rule.Title() == "" || rule.Fix() == "" {
			t.Errorf("%s: title %q, fix %q", rule, rule.Title(), rule.Fix())
		}
	}
	for rule := range fixes {
		if rule.Title() == "" {
			t.Errorf("%s has a fix and no title", rule)
		}
	}
	if got := Rule("DP999"); got.Title() != "" || got.Fix() != "" {
		t.Errorf("a rule that is none has the title %q", got.Title())
	}
}

// TestFixesCanBePasted: brackets and quotes of the Erlang terms match, and no
// option is there that OTP does not know (OTP ssl, "Erlang Distribution over TLS").
func TestFixesCanBePasted(t *testing.T) {
	options := map[string]bool{
		"server": true, "client": true, "certfile": true, "keyfile": true, "cacertfile": true, "verify": true,
		"fail_if_no_peer_cert": true, "versions": true, "ciphers": true, "reuse_sessions": true,
	}
	option := regexp.MustCompile(`\{(\w+),`)
	for rule, fix := range fixes {
		if problem := unbalanced(fix); problem != "" {
			t.Errorf("%s: %s in %s", rule, problem, fix)
		}
		for _, m := range option.FindAllStringSubmatch(fix, -1) {
			if !options[m[1]] {
				t.Errorf("%s: option %q", rule, m[1])
			}
		}
	}
	if !strings.HasSuffix(mutualConfig, "].") {
		t.Errorf("the optfile is not a term: %s", mutualConfig)
	}
}

// TestCiphersHaveBothVersions: with TLS 1.3 allowed and none of its suites in
// the list, OTP's nodes turn each other away with insufficient_security.
func TestCiphersHaveBothVersions(t *testing.T) {
	fix := WeakTLS.Fix()
	for _, part := range []string{"'tlsv1.3'", "'tlsv1.2'", `"TLS_AES_256_GCM_SHA384"`, `"ECDHE-ECDSA-AES256-GCM-SHA384"`, `"ECDHE-RSA-AES256-GCM-SHA384"`} {
		if !strings.Contains(fix, part) {
			t.Errorf("%s is not in %s", part, fix)
		}
	}
}

// TestMutualConfig: both sides show a certificate and ask for one, and the
// server insists.
func TestMutualConfig(t *testing.T) {
	server, client, ok := strings.Cut(mutualConfig, "{client,")
	if !ok {
		t.Fatal("no client section")
	}
	for _, part := range []string{"{certfile,", "{keyfile,", "{cacertfile,", "{verify, verify_peer}"} {
		if !strings.Contains(server, part) || !strings.Contains(client, part) {
			t.Errorf("%s is not in both sections", part)
		}
	}
	if !strings.Contains(server, "{fail_if_no_peer_cert, true}") || strings.Contains(client, "fail_if_no_peer_cert") {
		t.Error("fail_if_no_peer_cert is for the server only")
	}
}

// unbalanced says which bracket or quote of text has no partner; "" if all have.
func unbalanced(text string) string {
	var open []rune
	quoted := rune(0)
	for _, r := range text {
		switch {
		case quoted != 0:
			if r == quoted {
				quoted = 0
			}
		case r == '"':
			quoted = r
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case strings.ContainsRune(")]}", r):
			if len(open) == 0 || !strings.Contains("() [] {}", string([]rune{open[len(open)-1], r})) {
				return "a surplus " + string(r)
			}
			open = open[:len(open)-1]
		}
	}
	if quoted != 0 || len(open) > 0 {
		return "an open " + string(append(open, quoted))
	}
	return ""
}
