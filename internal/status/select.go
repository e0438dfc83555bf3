package status

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"dtc"
)

// selector says what is wanted of an answer. Its methods change nothing and may
// be called side by side. A nil selector wants all.
type selector struct {
	*dtc.Selection

	chosen []int           // PIDs, ascending
	users  map[string]bool // what the wanted users are called in an answer
	uids   map[uint32]bool // their numbers, on systems that have some
	names  matchers
	paths  matchers

	field      string // to sort by, "" for none
	descending bool
}

// newSelector returns the selector of a query, nil if the query wants all. The
// error is a [*dtc.Error] with [dtc.KindInvalid].
func (c *Collector) newSelector(q *dtc.Query) (*selector, error) {
	if q.Selection.IsZero() {
		return nil, nil
	}
	if err := q.Selection.Check(q.Status); err != nil {
		return nil, err
	}
	s := &selector{Selection: &q.Selection, chosen: slices.Sorted(slices.Values(q.Selection.PIDs))}
	s.users, s.uids = c.host.findUsers(s.Users)
	for _, pattern := range s.Names {
		fits, err := dtc.NameMatcher(foldPattern(pattern))
		if err != nil {
			return nil, err
		}
		s.names = append(s.names, fits)
	}
	for _, glob := range s.Paths {
		s.paths = append(s.paths, pathMatcher(fold(glob)))
	}
	if s.Sort != "" {
		var err error
		if s.field, s.descending, err = dtc.SortField(q.Status, s.Sort); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// pathMatcher returns what tells whether a path fits a glob, in which "**" is
// any number of folders. Without a wildcard it is that path alone.
func pathMatcher(glob string) func(string) bool {
	pattern := plainBraces(glob)
	return func(path string) bool {
		if path == glob {
			return true
		}
		ok, err := doublestar.PathMatch(pattern, path)
		return ok && err == nil
	}
}

// plainBraces makes of braces the characters that they are in [path.Match]. For
// doublestar they are alternatives, many of which would take it for ever.
func plainBraces(glob string) string {
	var b strings.Builder
	class := false // of characters, in which a brace is one already
	for i := 0; i < len(glob); i++ {
		c := glob[i]
		switch {
		case c == '\\' && filepath.Separator != c && i+1 < len(glob): // the next one is itself
			i++
			b.WriteByte(c)
			b.WriteByte(glob[i])
			continue
		case !class && (c == '{' || c == '}'):
			b.WriteString("[" + string(c) + "]")
			continue
		case c == '[', c == ']':
			class = c == '['
		}
		b.WriteByte(c)
	}
	return b.String()
}

// matchers are alternatives.
type matchers []func(text string) bool

// fit tells whether one of the texts fits one of the matchers.
func (m matchers) fit(texts ...string) bool {
	for _, text := range texts {
		text = fold(text)
		if slices.ContainsFunc(m, func(fits func(string) bool) bool { return fits(text) }) {
			return true
		}
	}
	return false
}

// pids returns which of the processes, which are ascending, are to be read at
// all.
func (s *selector) pids(all []int) []int {
	if s == nil || len(s.PIDs) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(pid int) bool { return !s.wantsPID(pid) })
}

// What is told of an item under one criterion, and whether it is wanted for
// that. What has several names, paths or ports is wanted for any.

func (s *selector) wantsPID(pid int) bool {
	_, ok := slices.BinarySearch(s.chosen, pid)
	return ok || len(s.PIDs) == 0
}

func (s *selector) wantsUser(name string) bool { return len(s.Users) == 0 || isUser(s.users, name) }

func (s *selector) wantsName(names ...string) bool { return len(s.Names) == 0 || s.names.fit(names...) }

func (s *selector) wantsPath(paths ...string) bool { return len(s.Paths) == 0 || s.paths.fit(paths...) }

func (s *selector) wantsPort(ports ...int) bool {
	return len(s.Ports) == 0 || slices.ContainsFunc(ports, func(port int) bool { return slices.Contains(s.Ports, port) })
}
