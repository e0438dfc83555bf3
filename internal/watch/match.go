package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dtc"
	"dtc/internal/proc"
)

const (
	// maxCommand is how much of a command line is kept, in bytes.
	maxCommand = 512

	// maxMatched is how much of a command line a regular expression is tried on,
	// in bytes: as much as ps reads.
	maxMatched = 128<<10 - 1

	// maxPrograms bounds the regular expressions of one call, in instructions.
	maxPrograms = 200_000

	// settled is how old a process is to be that has not executed a program of its
	// own: until then it looks like its parent, and may be about to become another.
	settled = 200 * time.Millisecond
)

// selector is the condition of a rule, made ready.
type selector struct {
	rule  dtc.ProcessRule
	match *regexp.Regexp // nil unless the rule has one
	kind  manner

	// problem says why nothing can match on this system, "" if something can.
	problem string
}

// manner is which of its conditions a rule has.
type manner uint8

const (
	byMatch manner = iota
	byExe
	byPIDFile
	byUnit
	byPort
)

// placed says whether the system can be asked who it is, by a file, a unit or a
// port, and not every process has to be looked at.
func (c manner) placed() bool { return c >= byPIDFile }

// newSelectors makes the conditions of rules ready. The error is of the kind
// invalid. What merely makes no sense on this system, such as a user that it does
// not have, is none: such a rule matches nothing.
func newSelectors(rules []dtc.ProcessRule) ([]*selector, error) {
	sels := make([]*selector, len(rules))
	size := 0
	for i := range rules {
		s, n, err := newSelector(&rules[i])
		if err != nil {
			return nil, invalid("rule %q: %w", rules[i].Name, err)
		}
		if size += n; size > maxPrograms {
			return nil, invalid("rule %q: the regular expressions of all rules are too large together", rules[i].Name)
		}
		sels[i] = s
	}
	return sels, nil
}

// newSelector returns the size of the regular expression too.
func newSelector(r *dtc.ProcessRule) (s *selector, size int, err error) {
	s = &selector{rule: *r}
	if s.kind, err = conditionOf(r); err != nil {
		return nil, 0, err
	}
	if r.Port < 0 || r.Port > 65535 {
		return nil, 0, fmt.Errorf("port %d: expected a number from 1 to 65535", r.Port)
	}
	switch s.kind {
	case byMatch:
		if s.match, err = dtc.CompileMatch(r.Match); err != nil {
			return nil, 0, fmt.Errorf("match: %w", err)
		}
		size = programSize(r.Match)
	case byExe:
		if strings.ContainsAny(r.Exe, separators) && !filepath.IsAbs(r.Exe) {
			s.problem = fmt.Sprintf("exe %q is no whole path on this system", r.Exe)
		}
	case byPIDFile:
		if !filepath.IsAbs(r.PIDFile) {
			s.problem = fmt.Sprintf("pidfile %q is no whole path on this system", r.PIDFile)
		}
	case byUnit:
		if strings.ContainsAny(r.Unit, "/\x00") {
			s.problem = fmt.Sprintf("%s is no name of a unit", quoted(r.Unit))
		}
	case byPort:
	}
	return s, size, nil
}

// conditionOf returns which condition a rule has, of which there is to be one.
func conditionOf(r *dtc.ProcessRule) (kind manner, err error) {
	given := 0
	for i, is := range []bool{r.Match != "", r.Exe != "", r.PIDFile != "", r.Unit != "", r.Port != 0} {
		if is {
			kind = manner(i)
			given++
		}
	}
	if given != 1 {
		return 0, errors.New("expected exactly one of match, exe, pidfile, unit and port")
	}
	return kind, nil
}

// programSize is how many instructions a regular expression has that compiles.
func programSize(expr string) int {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// trial is a selector in one pass over processes.
type trial struct {
	*selector
	index  int      // of the selector, for who asked
	exes   []string // paths that the program may have: as the rule says, and where that leads
	owners owners   // who is meant by the rule's user
}

// fit is what a trial came to.
type fit uint8

const (
	fitsNot fit = iota
	fits
	refused // the system does not let us see
)

// try tells whether the process fits: what costs least is asked first.
func (t *trial) try(p *subject) fit {
	if t.rule.User != "" {
		if is := p.ownedBy(t.owners); is != fits {
			return is
		}
	}
	switch t.kind {
	case byMatch:
		command, ok := p.commandLine()
		if !ok {
			return refused
		}
		if t.match.Match(command) {
			return fits
		}
	case byExe:
		return p.runs(t.exes)
	case byPIDFile, byUnit, byPort:
		return fits // the process is one that was named
	}
	return fitsNot
}

// isPath says whether an exe condition is a path and not a base name.
func isPath(exe string) bool { return strings.ContainsAny(exe, separators) }

// found is a process that a selector matches.
type found struct {
	seen    proc.Seen
	user    string // effective user, as ps shows it
	command string // as ps shows it, at most maxCommand bytes
}

// shorten cuts a text to a number of bytes, between two characters.
func shorten(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// quoted quotes a text that may hold anything, for one line.
func quoted(text string) string {
	const most = 200
	if len(text) > most {
		text = string(shorten([]byte(text), most)) + "…"
	}
	return strconv.Quote(text)
}
