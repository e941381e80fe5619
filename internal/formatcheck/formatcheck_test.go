package formatcheck_test

import (
	"strings"
	"testing"

	"distproof/internal/formatcheck"
)

// The checks can fail.
func TestSARIFRefuses(t *testing.T) {
	const result = `{"ruleId":"R","ruleIndex":0,"message":{"text":"m"},"partialFingerprints":{"primaryLocationLineHash":"1"},
		"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.pcap"},"region":{"startLine":1}}}]}`
	log := func(results string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"d","rules":[{"id":"R","shortDescription":{"text":"s"},"fullDescription":{"text":"f"},"help":{"text":"h"}}]}},"results":[` + results + `]}]}`
	}
	if err := formatcheck.SARIF([]byte(log(result))); err != nil {
		t.Fatalf("refused: %v", err)
	}
	for name, in := range map[string]string{
		"no tool":            `{"version":"2.1.0","runs":[{}]}`,
		"other version":      `{"version":"2.0.0","runs":[]}`,
		"unknown member":     log(strings.Replace(result, `"ruleIndex"`, `"odd":1,"ruleIndex"`, 1)),
		"no message":         log(strings.Replace(result, `"message":{"text":"m"},`, "", 1)),
		"absolute location":  log(strings.Replace(result, "a.pcap", "/a.pcap", 1)),
		"location with host": log(strings.Replace(result, "a.pcap", "http://h/a", 1)),
		"not a URI":          log(strings.Replace(result, "a.pcap", "a b%", 1)),
		"line 0":             log(strings.Replace(result, `"startLine":1`, `"startLine":0`, 1)),
		"link":               log(strings.Replace(result, `"m"`, `"[a](b)"`, 1)),
		"no fingerprint":     log(strings.Replace(result, `{"primaryLocationLineHash":"1"}`, `{"other":"1"}`, 1)),
		"no help":            strings.Replace(log(result), `,"help":{"text":"h"}`, "", 1),
		"the same twice":     log(result + "," + result),
		"something else":     `[]`,
		"two values":         log(result) + "{}",
	} {
		if formatcheck.SARIF([]byte(in)) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestJUnitRefuses(t *testing.T) {
	const good = `<testsuites><testsuite name="s" tests="1" failures="1" errors="0"><testcase name="n"><failure message="m"/></testcase></testsuite></testsuites>`
	if _, err := formatcheck.JUnit([]byte(good)); err != nil {
		t.Fatalf("refused: %v", err)
	}
	for name, change := range map[string][2]string{
		"no name":        {` name="n"`, ""},
		"skipped":        {"<testsuites>", `<testsuites skipped="1">`},
		"wrong count":    {`failures="1"`, `failures="0"`},
		"wrong element":  {"<failure", "<wrong"},
		"wrong child":    {`<failure message="m"/>`, `<testcase name="x"/>`},
		"wrong time":     {`name="n"`, `name="n" time="x"`},
		"not closed":     {"</testsuites>", ""},
		"something more": {"</testsuites>", "</testsuites><x/>"},
		"two roots":      {"</testsuites>", "</testsuites>" + good},
	} {
		if _, err := formatcheck.JUnit([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestGitLabRefuses(t *testing.T) {
	const good = `[{"description":"d","check_name":"c","fingerprint":"f","severity":"major","location":{"path":"p","lines":{"begin":1}}}]`
	if err := formatcheck.GitLab([]byte(good)); err != nil {
		t.Fatalf("refused: %v", err)
	}
	for name, change := range map[string][2]string{
		"null":              {good, "null"},
		"object":            {good, "{}"},
		"no fingerprint":    {`"f"`, `""`},
		"unknown severity":  {"major", "high"},
		"absolute path":     {`"p"`, `"/p"`},
		"path with a dot":   {`"p"`, `"./p"`},
		"line as a string":  {`"begin":1`, `"begin":"1"`},
		"fingerprint twice": {"}]", "}," + good[1:]},
	} {
		if formatcheck.GitLab([]byte(strings.Replace(good, change[0], change[1], 1))) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
