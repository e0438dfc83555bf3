// Package doctor checks what commonly goes wrong with a home and its machine, and
// says for each what to do. It changes nothing, and nothing that hangs can hang
// it.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Level says how bad a finding is.
type Level string

// The levels of findings.
const (
	OK   Level = "ok"
	Warn Level = "warn" // something does not work, or will not before long
	Bad  Level = "bad"  // what the program is for does not work
)

// Finding is what a check has found.
type Finding struct {
	Level   Level  `json:"level"`
	Check   string `json:"check"`            // what was looked at
	Finding string `json:"finding"`          // how it is
	Advice  string `json:"advice,omitempty"` // what to do; empty where all is well
}

// Check is one thing to look at. It may take its time: [Run] does not wait for
// it longer than for others.
type Check struct {
	Name string
	Look func(ctx context.Context) []Finding
}

// okf, warnf and badf are findings; the check's name is added by [Run].
func okf(format string, args ...any) Finding {
	return Finding{Level: OK, Finding: fmt.Sprintf(format, args...)}
}

func warnf(advice, format string, args ...any) Finding {
	return Finding{Level: Warn, Finding: fmt.Sprintf(format, args...), Advice: advice}
}

func badf(advice, format string, args ...any) Finding {
	return Finding{Level: Bad, Finding: fmt.Sprintf(format, args...), Advice: advice}
}

// Descriptors compares how many files may be open with how many the monitor has
// open of so many hosts.
func Descriptors(hosts int) Check {
	return Check{"descriptors", func(context.Context) []Finding {
		const each = 8 // connections, copies that are written, process logs
		if f := descriptors(each * hosts); f.Finding != "" {
			return []Finding{f}
		}
		return nil
	}}
}

// Run has all checks look at once, each for no longer than limit, and returns
// what they found, in their order. What hangs, as a call about a dead file
// server does, is left behind.
func Run(ctx context.Context, limit time.Duration, checks []Check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var looking sync.WaitGroup // for nobody: what hangs is not waited for
	results := make([]chan []Finding, len(checks))
	for i, c := range checks {
		results[i] = make(chan []Finding, 1)
		looking.Go(func() { results[i] <- c.Look(ctx) })
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), limit+limit/4)
	defer stop()
	var all []Finding
	for i, c := range checks {
		var found []Finding
		select {
		case found = <-results[i]:
		case <-late.Done():
			select {
			case found = <-results[i]: // it came while another was waited for
			default:
				found = []Finding{warnf("see whether a disk or a file server hangs", "no answer within %s", limit)}
			}
		}
		for _, f := range found {
			if f.Check == "" {
				f.Check = c.Name
			}
			all = append(all, f)
		}
	}
	return all
}

// Worst returns the worst level of findings.
func Worst(found []Finding) Level {
	for _, level := range []Level{Bad, Warn} {
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Level == level }) {
			return level
		}
	}
	return OK
}

// Print writes a line for each finding, with its level in color if that is
// wanted. What would move a terminal's cursor is shown as '?'.
func Print(w io.Writer, found []Finding, color bool) error { //nolint:revive // flag-parameter: of the terminal
	width := 0
	for _, f := range found {
		width = max(width, len([]rune(f.Check)))
	}
	var b strings.Builder
	for _, f := range found {
		level := fmt.Sprintf("%-4s", f.Level)
		if color {
			level = map[Level]string{OK: "\x1b[32m", Warn: "\x1b[33m", Bad: "\x1b[31m"}[f.Level] + level + "\x1b[0m"
		}
		name := clean(f.Check) + ":"
		fmt.Fprintf(&b, "%s  %s%s %s", level, name, strings.Repeat(" ", max(0, width+1-len([]rune(name)))), clean(f.Finding))
		if f.Advice != "" {
			b.WriteString("; " + clean(f.Advice))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintJSON writes the findings as one array.
func PrintJSON(w io.Writer, found []Finding) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(append([]Finding{}, found...)) // [] if there are none
}

// longest bounds a text, in bytes: what a host says may be long.
const longest = 1000

// clean makes one line of a text that nothing can hide in.
func clean(s string) string {
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
