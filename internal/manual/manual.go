// Package manual writes what a program says of itself in --help in two other
// forms: as manual pages, and as scripts that complete its commands in shells.
package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// section is that of commands.
const section = "1"

// WritePages writes a page for root and for each command below it that --help
// shows into the folder dir, which it makes: dtc.1, dtc-get.1, dtc-logs-ls.1.
// The pages bear the day of date and the version of root; they are the same
// for the same commands, whichever machine writes them.
func WritePages(dir string, root *cobra.Command, date time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	for _, c := range shown(root) {
		path := filepath.Join(dir, pageName(c)+"."+section)
		if err := os.WriteFile(path, Page(c, date), 0o644); err != nil { //nolint:gosec // G306: manual pages are for everybody
			return fmt.Errorf("write a manual page: %w", err)
		}
	}
	return nil
}

// shown returns c and the commands below it that --help shows, depth first.
func shown(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, shown(sub)...)
		}
	}
	return all
}

// pageName returns the name of a command's page, without its section.
func pageName(c *cobra.Command) string {
	return strings.ReplaceAll(c.CommandPath(), " ", "-")
}

// Page returns the page of one command, in the language of man(7). It has no
// byte outside ASCII, so that it looks the same in every locale.
func Page(c *cobra.Command, date time.Time) []byte {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	var r roff
	root := c.Root().Name()
	r.title(strings.ToUpper(pageName(c)), date, strings.TrimSpace(root+" "+c.Root().Version), root+" manual")
	r.request("SH", "NAME")
	r.line(escape(pageName(c) + " - " + c.Short))
	r.request("SH", "SYNOPSIS")
	r.line(synopsis(c))
	description, status := splitStatus(c.Long)
	r.request("SH", "DESCRIPTION")
	r.text(description)
	commands(&r, c)
	options(&r, "OPTIONS", c.NonInheritedFlags())
	options(&r, "GLOBAL OPTIONS", c.InheritedFlags())
	if status != "" {
		r.request("SH", "EXIT STATUS")
		r.text(status)
	}
	if c.HasExample() {
		r.request("SH", "EXAMPLES")
		r.text(c.Example)
	}
	seeAlso(&r, c)
	return r.Bytes()
}

// synopsis is the line that shows how to call c, its name in bold.
func synopsis(c *cobra.Command) string {
	rest := strings.TrimPrefix(c.UseLine(), c.CommandPath())
	if c.HasAvailableSubCommands() && c.Use == c.Name() { // it is nothing without one
		rest = " COMMAND" + rest
	}
	return bold(c.CommandPath()) + escape(rest)
}

// exitStatus begins the paragraph of a help text that becomes a section.
const exitStatus = "Exit status: "

// splitStatus takes the paragraph on the exit status out of a help text.
func splitStatus(long string) (description, status string) {
	var rest []string
	for paragraph := range strings.SplitSeq(long, "\n\n") {
		switch {
		case strings.HasPrefix(paragraph, exitStatus):
			status = strings.TrimPrefix(paragraph, exitStatus)
		case strings.HasPrefix(paragraph, "Exit status of every command: "):
			status = paragraph
		default:
			rest = append(rest, paragraph)
		}
	}
	return strings.Join(rest, "\n\n"), status
}

// commands lists the commands in c.
func commands(r *roff, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	r.request("SH", "COMMANDS")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			r.item(bold(pageName(sub))+"("+section+")", sub.Short)
		}
	}
}

// options lists flags, if there are any, under a heading.
func options(r *roff, heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	r.request("SH", heading)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		switch value { // the names of types are none of values
		case "string", "strings", "stringArray":
			value = "VALUE"
		case "duration":
			value = "DURATION"
		case "int":
			value = "N"
		}
		r.item(flagName(f, value), usage+defaultOf(f))
	})
}

// flagName shows how a flag is written: -n, --lines N.
func flagName(f *pflag.Flag, value string) string {
	text := bold("--" + f.Name)
	if f.Shorthand != "" {
		text = bold("-"+f.Shorthand) + ", " + text
	}
	switch {
	case value == "":
		return text
	case f.NoOptDefVal != "":
		return text + "[" + escape("=") + italic(value) + "]"
	default:
		return text + " " + italic(value)
	}
}

// defaultOf returns what a usage text says of a default, as --help does: not
// of one that is no value at all.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]", "<nil>":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// seeAlso names the pages above and beside c.
func seeAlso(r *roff, c *cobra.Command) {
	if !c.HasParent() {
		return
	}
	var pages []string
	for p := c.Parent(); p != nil; p = p.Parent() {
		pages = append(pages, bold(pageName(p))+"("+section+")")
	}
	for _, sibling := range c.Parent().Commands() {
		if c.Parent().HasParent() && sibling != c && sibling.IsAvailableCommand() {
			pages = append(pages, bold(pageName(sibling))+"("+section+")")
		}
	}
	r.request("SH", "SEE ALSO")
	r.line(strings.Join(pages, ",\n"))
}
