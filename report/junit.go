package report

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// renderJUnit writes a test suite: a test case for the conclusion, one for
// each rule that an edge breaks, and one for each edge that breaks none. What
// is not proven is an error, what is waived is skipped. GitLab shows name and
// body alone, so that the essentials are in these.
func renderJUnit(w io.Writer, doc *Document, _ Options) error {
	suite := junit.Testsuite{Name: "distproof", Time: "0.000"}
	suite.AddTestcase(conclusionCase(doc))
	all := problems(doc)
	broken := map[string]bool{}
	for i := range all {
		broken[all[i].edge] = true
		suite.AddTestcase(all[i].testcase(doc))
	}
	for _, e := range doc.Edges {
		if name := edgeName(e.From, e.To); !broken[name] {
			suite.AddTestcase(edgeCase(doc, name, e))
		}
	}
	// Not AddSuite: Jenkins' schema has no attribute for skipped tests here.
	suites := junit.Testsuites{
		Name: "distproof", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Suites: []junit.Testsuite{suite},
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// conclusionCase stands for the run as a whole.
func conclusionCase(doc *Document) junit.Testcase {
	tc := newTestcase("conclusion", conclusionOf(doc))
	result := &junit.Result{Message: escape(doc.Reason), Type: escape(doc.Conclusion), Data: escape(doc.Reason)}
	switch doc.Conclusion {
	case "pass":
		tc.SystemOut = &junit.Output{Data: escape(doc.Reason)}
	case "":
		tc.Skipped = &junit.Result{Message: notJudged}
	case "fail":
		tc.Failure = result
	default:
		tc.Error = result
	}
	return tc
}

func (p *problem) testcase(doc *Document) junit.Testcase {
	tc := newTestcase(p.Rule, p.heading())
	lines := p.details(doc)
	if fix := strings.TrimSpace(p.Fix); fix != "" {
		lines = append(append(lines, "fix:"), fixLines(p.Fix)...)
	}
	text := strings.Join(lines, "\n")
	result := &junit.Result{Message: escape(p.Message), Type: escape(p.Severity), Data: text}
	switch p.effect {
	case violates:
		tc.Failure = result
	case doubts:
		tc.Error = result
	case waived:
		tc.Skipped = &junit.Result{Message: escape(p.waivedAs()) + ": " + escape(p.Message), Data: p.Waiver.text()}
	default:
		tc.SystemOut = &junit.Output{Data: text}
	}
	return tc
}

// edgeCase is an edge without findings.
func edgeCase(doc *Document, name string, e Edge) junit.Testcase {
	tc := newTestcase("edge", name+" is "+escape(e.Verdict))
	if doc.Conclusion == "" {
		tc.Skipped = &junit.Result{Message: notJudged}
	}
	return tc
}

func newTestcase(class, name string) junit.Testcase {
	return junit.Testcase{Classname: "distproof." + escape(class), Name: name, Time: "0.000"}
}

// notJudged is what formats of findings say about a document of inspect.
const notJudged = "not judged: distproof inspect draws no conclusion"

// conclusionOf names the run's conclusion, whatever it is: a test's name must not
// change with its outcome.
func conclusionOf(doc *Document) string {
	s := "conclusion"
	if doc.Policy != "" {
		s += " by the policy " + escape(doc.Policy)
	}
	return s
}
