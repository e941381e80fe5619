// Package formatcheck tells whether what the renderers write is what those who
// read it publish as their formats. Only tests use it.
package formatcheck

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// JSON validates JSON with the schema in a file.
func JSON(data []byte, schemaFile string) error {
	schema, known := compiled.Load(schemaFile)
	if !known {
		s, err := jsonschema.NewCompiler().Compile(filepath.FromSlash(schemaFile))
		if err != nil {
			return err
		}
		schema, _ = compiled.LoadOrStore(schemaFile, s)
	}
	return validate(schema.(*jsonschema.Schema), data)
}

// compiled has the schemas by file: compiling one takes longer than its use.
var compiled sync.Map

func validate(schema *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// oasisSchema is the schema of SARIF 2.1.0 as OASIS published it. go-sarif has
// it in its source; what it offers itself validates its own types, not the
// bytes.
var oasisSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(dir)), "pkg", "report", "v210", "sarif", "schema.go")
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		return nil, err
	}
	text := ""
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && text == "" {
			text = strings.Trim(lit.Value, "`")
		}
		return true
	})
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat() // uri-reference, above all
	if err := c.AddResource("sarif.json", v); err != nil {
		return nil, err
	}
	return c.Compile("sarif.json")
})

// SARIF validates SARIF 2.1.0 with the schema of OASIS, and holds it to what
// GitHub's code scanning asks for besides.
func SARIF(data []byte) error {
	schema, err := oasisSchema()
	if err != nil {
		return err
	}
	if err := validate(schema, data); err != nil {
		return err
	}
	log, err := sarif.FromBytes(data)
	if err != nil {
		return err
	}
	var problems []error
	for _, run := range log.Runs {
		seen := map[string]bool{}
		for _, r := range run.Results {
			problems = append(problems, checkResult(run, r))
			for name, value := range r.PartialFingerprints {
				if seen[name+value] {
					problems = append(problems, fmt.Errorf("two results with the %s %s", name, value))
				}
				seen[name+value] = true
			}
		}
	}
	return errors.Join(problems...)
}

func checkResult(run *sarif.Run, r *sarif.Result) error {
	if got := *run.Tool.Driver.Rules[r.RuleIndex].ID; got != *r.RuleID {
		return fmt.Errorf("rule %s has the index of %s", *r.RuleID, got)
	}
	if strings.Contains(*r.Message.Text, "](") {
		return fmt.Errorf("message with a link: %s", *r.Message.Text)
	}
	if r.PartialFingerprints["primaryLocationLineHash"] == "" || len(r.Locations) == 0 {
		return errors.New("result without the fingerprint that GitHub uses, or location")
	}
	if rule := run.Tool.Driver.Rules[r.RuleIndex]; rule.ShortDescription == nil || rule.FullDescription == nil || rule.Help == nil {
		return fmt.Errorf("rule %s without descriptions or help", *r.RuleID)
	}
	at := r.Locations[0].PhysicalLocation
	u, err := url.Parse(*at.ArtifactLocation.URI)
	if err != nil || u.IsAbs() || u.Host != "" || u.Path == "" || strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "..") {
		return fmt.Errorf("location %q is not a relative reference (%v)", *at.ArtifactLocation.URI, err)
	}
	if *at.Region.StartLine < 1 {
		return errors.New("location without a line")
	}
	return nil
}

// GitLab holds a Code Quality report to GitLab's schema of its issues
// (codeclimate.json: these members with these types), and to what its
// documentation says of their values. Other members are refused.
func GitLab(data []byte) error {
	var issues []struct {
		Description string `json:"description"`
		CheckName   string `json:"check_name"`
		Fingerprint string `json:"fingerprint"`
		Severity    string `json:"severity"`
		Location    struct {
			Path  string `json:"path"`
			Lines struct {
				Begin int `json:"begin"`
			} `json:"lines"`
		} `json:"location"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&issues); err != nil {
		return err
	}
	if issues == nil {
		return errors.New("not an array")
	}
	seen := map[string]bool{}
	for _, i := range issues {
		path := i.Location.Path
		switch {
		case i.Description == "", i.CheckName == "", i.Fingerprint == "", seen[i.Fingerprint],
			!slices.Contains([]string{"info", "minor", "major", "critical", "blocker"}, i.Severity),
			i.Location.Lines.Begin < 1, path == "", strings.HasPrefix(path, "/"), strings.HasPrefix(path, "./"):
			return fmt.Errorf("issue %+v", i)
		}
		seen[i.Fingerprint] = true
	}
	return nil
}

// An Element is any element of XML.
type Element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []Element  `xml:",any"`
}

// Attr is the value of an attribute, "" if there is none.
func (e Element) Attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// rules is what the junit-10.xsd of Jenkins' xUnit plugin allows of what is used
// here, written down anew: no validator of XSD in Go is both kept and free of C.
func rules() map[string]elementRule {
	result := elementRule{optional: []string{"type", "message"}}
	return map[string]elementRule{
		"testsuites": {optional: []string{"name", "time", "tests", "failures", "errors"}, children: []string{"testsuite"}},
		"testsuite": {
			required: []string{"name", "tests", "failures", "errors"},
			optional: []string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
			children: []string{"testsuite", "properties", "testcase", "system-out", "system-err"},
		},
		"testcase": {
			required: []string{"name"}, optional: []string{"time", "classname", "group"},
			children: []string{"skipped", "error", "failure", "system-out", "system-err"},
		},
		"failure": result, "error": result, "skipped": result, "system-out": {}, "system-err": {},
	}
}

type elementRule struct{ required, optional, children []string }

// JUnit holds a JUnit report to the schema of Jenkins, and its counts to what is
// in it. It returns the root.
func JUnit(data []byte) (Element, error) {
	var root Element
	d := xml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&root); err != nil {
		return root, err
	}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if text, ok := token.(xml.CharData); err != nil || !ok || len(bytes.TrimSpace(text)) > 0 {
			return root, errors.New("something follows the root")
		}
	}
	if root.XMLName.Local != "testsuites" {
		return root, fmt.Errorf("the root is %s", root.XMLName.Local)
	}
	return root, errors.Join(checkElement(root), checkCounts(root))
}

var duration = regexp.MustCompile(`^[0-9]{0,3}(\.[0-9]*)?$`)

func checkElement(e Element) error {
	name := e.XMLName.Local
	rule, known := rules()[name]
	if !known {
		return fmt.Errorf("element %s", name)
	}
	for _, attr := range rule.required {
		if e.Attr(attr) == "" {
			return fmt.Errorf("%s without %s", name, attr)
		}
	}
	for _, a := range e.Attrs {
		if !slices.Contains(rule.required, a.Name.Local) && !slices.Contains(rule.optional, a.Name.Local) {
			return fmt.Errorf("%s has the attribute %s", name, a.Name.Local)
		}
	}
	if !duration.MatchString(e.Attr("time")) {
		return fmt.Errorf("time %q", e.Attr("time"))
	}
	for _, child := range e.Children {
		if !slices.Contains(rule.children, child.XMLName.Local) {
			return fmt.Errorf("%s in %s", child.XMLName.Local, name)
		}
		if err := checkElement(child); err != nil {
			return err
		}
	}
	return nil
}

func checkCounts(root Element) error {
	for _, suite := range root.Children {
		n := map[string]int{}
		for _, tc := range suite.Children {
			n["tests"]++
			for _, result := range tc.Children {
				n[result.XMLName.Local]++
			}
		}
		for attr, element := range map[string]string{"tests": "tests", "failures": "failure", "errors": "error"} {
			if got, want := suite.Attr(attr), fmt.Sprint(n[element]); got != want {
				return fmt.Errorf("%s=%q, but there are %s", attr, got, want)
			}
		}
	}
	return nil
}
