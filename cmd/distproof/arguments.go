package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// noCommand answers a command line without a command. It is an error: a gate
// whose command got lost must not pass.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("distproof verify FILE judges a capture\nsee distproof --help", "no command given")
	}
	if _, err := os.Stat(args[0]); err == nil {
		return usagef(fmt.Sprintf("distproof verify %s", strings.Join(args, " ")), "%q is a file, not a command", args[0])
	}
	return unknownCommand(cmd, args[0])
}

// strict makes cobra's own commands fail on words that they do not know. They would
// show a help text, which a shell that sources a completion takes for a script.
func strict(root *cobra.Command, args []string) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, needsSubcommand
		case "help":
			show := cmd.Run
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return unknownCommand(found, rest[0])
				}
				show(cmd, args)
				return nil
			}
		}
	}
}

// needsSubcommand answers a command line without a command of cmd.
func needsSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	last := len(names) - 1
	return usagef(cmd.CommandPath()+" "+strings.Join(names[:last], ", ")+" or "+names[last]+"\nsee "+cmd.CommandPath()+" --help", "no command of %s given", cmd.Name())
}

// noArguments refuses arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("see "+cmd.CommandPath()+" --help", "%s takes no arguments, got %q", cmd.Name(), args[0])
	}
	return nil
}

// atMostOne refuses more than one of what a command takes.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("see "+cmd.CommandPath()+" --help", "%s takes one %s, not %d", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// unknownCommand answers a word that is no command of cmd.
func unknownCommand(cmd *cobra.Command, word string) error {
	hint := "see " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(word); len(similar) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + similar[0] + "?"
	}
	return usagef(hint, "unknown command %q", word)
}
