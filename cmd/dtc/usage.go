package main

import (
	"errors"
	"fmt"
	"strings"

	"dtc"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError is the error of a flag that cannot be used as it stands there,
// with the nearest flag if it is an unknown one.
func flagError(c *cobra.Command, err error) error {
	if _, ok := c.Annotations[group]; ok && c.Flags().NArg() > 0 {
		return whichCommand(c, c.Flags().Args()) // the flag is of a command that is none
	}
	name := strings.TrimPrefix(c.CommandPath(), c.Root().Name())
	if name = strings.TrimSpace(name); name != "" {
		name += ": "
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := invalid.GetFlag()
		return usagef("%s--%s %q: expected %s; see '%s --help'", name, f.Name, invalid.GetValue(), wants(f), c.CommandPath())
	}
	hint := ""
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		hint = didYouMean("--"+unknown.GetSpecifiedName(), names)
	}
	return usagef("%s%w%s; see '%s --help'", name, err, hint, c.CommandPath())
}

// wants says what a flag's value has to look like.
func wants(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "duration":
		return "a time like 500ms, 30s or 1h"
	case "int":
		return "a whole number"
	case "bool":
		return "true or false, or the flag alone"
	default:
		return "another value"
	}
}

// checkArgs makes a wrong number of arguments a mistake of usage, for c and all
// commands below it.
func checkArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if _, told := errors.AsType[*statusError](err); err == nil || told {
				return err
			}
			if strings.HasPrefix(err.Error(), "unknown command ") { // of cobra.NoArgs
				err = fmt.Errorf("%q is one argument too many", args[0])
			}
			return usagef("%s: %w; see '%s --help'", c.Name(), err, c.CommandPath())
		}
	}
	for _, sub := range c.Commands() {
		checkArgs(sub)
	}
}

// oneArgument is the check of a command that takes exactly one.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", what)
		case 1:
			return nil
		default:
			return fmt.Errorf("%q is one argument too many", args[1])
		}
	}
}

// group marks a command that has only others below it.
const group = "group"

// asGroup makes c such a command.
func asGroup(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{group: ""}
	c.Args, c.RunE = cobra.ArbitraryArgs, whichCommand
	return c
}

// whichCommand is what a group does: without an argument it helps, and one
// that is there is no command.
func whichCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden || strings.HasPrefix(args[0], "get_") && strings.HasPrefix(sub.Name(), "get_") {
			names = append(names, sub.Name())
		}
	}
	return usagef("unknown command %q%s; see '%s --help'", args[0], didYouMean(args[0], names), c.CommandPath())
}

// newHelpCommand replaces cobra's, which takes an unknown command for none.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Long: `Explain a command, as its --help does.

Exit status: 0 explained, 2 no such command.`,
		Example: "  dtc help get",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return whichCommand(about, rest)
			}
			return about.Help()
		},
	}
}

// didYouMean returns the end of an error text that names what is nearest to
// word, or nothing if nothing is near.
func didYouMean(word string, known []string) string {
	if best := dtc.Nearest(word, known); best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return ""
}
