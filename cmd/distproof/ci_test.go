package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// TestPipelineScripts runs the scripts of testdata/ci: what the GitHub action
// and the GitLab template run. $ROOT is the repository, ${N} a line break.
func TestPipelineScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	script := gitlabScript(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/ci",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			env.Setenv("PCAPS", filepath.Join(root, "pcaps"))
			env.Setenv("N", "\n")
			if err := os.WriteFile(filepath.Join(env.WorkDir, "gitlab.sh"), []byte(script), 0o666); err != nil {
				return err
			}
			return makeInputs(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// gitlabScript is the script of the GitLab template.
func gitlabScript(t *testing.T) string {
	t.Helper()
	var template map[string]struct {
		Script    []string
		Artifacts struct{ Reports map[string]string }
	}
	readYAML(t, "../../ci/gitlab.yml", &template)
	job := template[".distproof"]
	script := strings.Join(job.Script, "\n")
	for kind, path := range job.Artifacts.Reports {
		if !strings.Contains(script, "="+path+" ") {
			t.Errorf("the job does not write %s, its report for %s", path, kind)
		}
	}
	if len(job.Artifacts.Reports) != 2 {
		t.Errorf("reports: %v", job.Artifacts.Reports)
	}
	return script
}

// The action hands every input to its script as a variable, and writes none into
// the script, where it could be code.
func TestActionPassesInputsAsVariables(t *testing.T) {
	var action struct {
		Inputs  map[string]struct{ Description string }
		Outputs map[string]struct{ Value string }
		Runs    struct {
			Using string
			Steps []struct {
				ID, Run, Shell string
				Env            map[string]string
			}
		}
	}
	readYAML(t, "../../action.yml", &action)
	script, err := os.ReadFile("../../ci/action.sh")
	if err != nil {
		t.Fatal(err)
	}
	if action.Runs.Using != "composite" {
		t.Errorf("using %q", action.Runs.Using)
	}
	passed := map[string]string{}
	for _, step := range action.Runs.Steps {
		if strings.Contains(step.Run, "${{") {
			t.Errorf("an expression is written into the script: %s", step.Run)
		}
		for name, value := range step.Env {
			passed[value] = name
		}
	}
	for input, about := range action.Inputs {
		name := passed["${{ inputs."+input+" }}"]
		if name == "" || !strings.Contains(string(script), "${"+name) || about.Description == "" {
			t.Errorf("input %s reaches the script as %q", input, name)
		}
	}
	output := regexp.MustCompile(`^\$\{\{ steps\.verify\.outputs\.([a-z-]+) \}\}$`)
	for name, o := range action.Outputs {
		m := output.FindStringSubmatch(o.Value)
		if m == nil || m[1] != name || !strings.Contains(string(script), "'"+name+"=%s") {
			t.Errorf("output %s is %q", name, o.Value)
		}
	}
}

// The worked example has a valid policy, and gives the action inputs that it has.
func TestExampleFits(t *testing.T) {
	folder := "../../examples/three-nodes/"
	var out, errs bytes.Buffer
	if code := run([]string{"policy", "check", folder + "distproof.yaml"}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	var action struct{ Inputs, Outputs map[string]any }
	readYAML(t, "../../action.yml", &action)
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Uses string
				With map[string]string
			}
		}
	}
	readYAML(t, folder+"github.yml", &workflow)
	used := 0
	for _, step := range workflow.Jobs["mutual-tls"].Steps {
		if !strings.HasPrefix(step.Uses, "example/distproof@") {
			continue
		}
		used++
		for input := range step.With {
			if action.Inputs[input] == nil {
				t.Errorf("the action has no input %q", input)
			}
		}
	}
	if used != 1 || action.Outputs["sarif"] == nil {
		t.Errorf("the action is used in %d steps", used)
	}
	var pipeline map[string]any
	readYAML(t, folder+"gitlab-ci.yml", &pipeline)
	job, _ := pipeline["distproof"].(map[string]any)
	if job["extends"] != ".distproof" {
		t.Errorf("the job is %v", job)
	}
}
