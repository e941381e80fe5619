package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The help of each command has each of its flags once, under whatever heading.
func TestHelpHasAllFlags(t *testing.T) {
	a := &app{}
	for _, cmd := range append(a.rootCommand().Commands(), a.policyCommand().Commands()...) {
		help := cmd.UsageString()
		if typed := regexp.MustCompile(`--[a-z-]+ (string|strings|stringArray|u?int\w*|duration)\b`).FindString(help); typed != "" {
			t.Errorf("%s: %s: the help names a type, and not what the value is", cmd.Name(), typed)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			n := len(regexp.MustCompile(`(?m)^ {2}(-.,|   ) --`+f.Name+` `).FindAllString(help, -1))
			if want := map[bool]int{false: 1, true: 0}[f.Hidden]; n != want {
				t.Errorf("%s: --%s is there %d times, want %d:\n%s", cmd.Name(), f.Name, n, want, help)
			}
		})
	}
	watch, _, err := a.rootCommand().Find([]string{"watch"})
	if err != nil || !strings.Contains(watch.UsageString(), "\nMetrics, health, API:\n") {
		t.Errorf("the flags of watch have no headings, %v", err)
	}
}
