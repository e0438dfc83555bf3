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
	hint := ""
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		hint = didYouMean("--"+unknown.GetSpecifiedName(), names)
	}
	return usageError(fmt.Errorf("%s: %w%s; see '%s --help'", c.Name(), err, hint, c.CommandPath()))
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
			return usagef("%s: %w; see '%s --help'", c.Name(), err, c.CommandPath())
		}
	}
	for _, sub := range c.Commands() {
		checkArgs(sub)
	}
}

// unknownCommand makes cobra's error for a word that is no command a mistake of
// usage, with the nearest command.
func unknownCommand(root *cobra.Command, err error) error {
	if err == nil || !strings.HasPrefix(err.Error(), "unknown command ") {
		return err
	}
	var word string
	if _, scanErr := fmt.Sscanf(err.Error(), "unknown command %q", &word); scanErr != nil {
		return usageError(err)
	}
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return usagef("unknown command %q%s; see '%s --help'", word, didYouMean(word, names), root.Name())
}

// didYouMean returns the end of an error text that names what is nearest to
// word, or nothing if nothing is near.
func didYouMean(word string, known []string) string {
	if best := dtc.Nearest(word, known); best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return ""
}
