package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"distproof/report"
)

// version is set by the linker in release builds (see the Makefile).
var version string

// toolVersion is the version of this program, as good as it is known.
func toolVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return cmp.Or(info.Main.Version, "(devel)")
	}
	return "(devel)"
}

// tool is this program, in what it writes.
func tool() report.Tool { return report.Tool{Name: "distproof", Version: toolVersion()} }

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "version",
		Short:                 "Print the version",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "distproof %s (%s, %s/%s)\nsandbox: %s\n", toolVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, sandboxed())
			return err
		},
	}
}
