package dtc

import (
	"fmt"
	"slices"
	"strings"
)

// Selection says which items of a list are wanted, and in which order. The
// host applies it before anything crosses the wire. The zero value is all, in
// the host's order. An item is wanted if each list that is not empty has
// something that fits it.
type Selection struct {
	PIDs  []int    // process ids
	Users []string // names or numbers of users
	Names []string // globs of path.Match, or regular expressions of RE2 between slashes: "nginx*", "/^(sshd|cron)$/"
	Paths []string // globs of a path: "*" stays within a folder, "**" does not
	Ports []int    // of either end of a socket

	// Sort is the field to sort by: largest first for figures, else ascending;
	// a "+" before it is ascending, a "-" descending. Items without a value come
	// last, equal ones keep the host's order. "" is the host's order.
	Sort string

	// Limit is how many items are wanted of each host, after sorting. 0 is all.
	Limit int
}

// Limits of a selection, against hostile ones.
const (
	MaxSelected     = 1024 // entries of one of its lists
	MaxSelectedText = 4096 // bytes of an entry
)

// IsZero tells whether s wants all, in the host's order.
func (s *Selection) IsZero() bool {
	return !s.filters() && s.Sort == "" && s.Limit == 0
}

func (s *Selection) filters() bool {
	return len(s.PIDs)+len(s.Users)+len(s.Names)+len(s.Paths)+len(s.Ports) > 0
}

// selectable returns by which criteria the items of a status can be selected, in
// the words of the command's flags.
func selectable(status Status) []string {
	switch status {
	case StatusProcess:
		return []string{"pid", "user", "name", "sort", "limit"}
	case StatusOpenFiles:
		return []string{"pid", "user", "name", "path", "port", "sort", "limit"}
	case StatusSockets:
		return []string{"pid", "user", "name", "port", "sort", "limit"}
	case StatusUsers:
		return []string{"pid", "user", "sort", "limit"}
	case StatusServices:
		return []string{"pid", "name", "sort", "limit"}
	case StatusDisk:
		return []string{"path", "sort", "limit"}
	case StatusInterfaces:
		return []string{"name", "sort", "limit"}
	default:
		return nil
	}
}

// Check returns why s makes no sense for a status, nil if it does: a [*Error]
// with [KindInvalid] whose text begins with the flag that is wrong.
func (s *Selection) Check(status Status) error {
	given := []struct {
		flag string
		n    int
	}{
		{"pid", len(s.PIDs)},
		{"user", len(s.Users)},
		{"name", len(s.Names)},
		{"path", len(s.Paths)},
		{"port", len(s.Ports)},
		{"sort", len(s.Sort)},
		{"limit", s.Limit},
	}
	possible := selectable(status)
	for _, g := range given {
		switch {
		case g.n == 0:
		case !slices.Contains(possible, g.flag):
			return invalidf("--%s: %s cannot be selected by that%s", g.flag, status, orBy(possible))
		case g.flag != "sort" && g.flag != "limit" && g.n > MaxSelected:
			return invalidf("--%s: %d values, at most %d are possible", g.flag, g.n, MaxSelected)
		}
	}
	if err := s.checkNumbers(); err != nil {
		return err
	}
	if err := s.checkTexts(); err != nil {
		return err
	}
	if s.Sort != "" {
		if _, _, err := SortField(status, s.Sort); err != nil {
			return err
		}
	}
	return nil
}

func orBy(possible []string) string {
	if len(possible) == 0 {
		return ""
	}
	return ", but by --" + strings.Join(possible, ", --")
}

func (s *Selection) checkNumbers() error {
	for _, pid := range s.PIDs {
		if pid < 0 {
			return invalidf("--pid %d: expected a process id, 0 or above", pid)
		}
	}
	for _, port := range s.Ports {
		if port < 1 || port > 65535 {
			return invalidf("--port %d: expected a port from 1 to 65535", port)
		}
	}
	if s.Limit < 0 {
		return invalidf("--limit %d: expected a number of items from 1, or 0 for all", s.Limit)
	}
	return nil
}

func (s *Selection) checkTexts() error {
	for _, list := range []struct {
		flag  string
		texts []string
		check func(string) error
	}{
		{"user", s.Users, func(string) error { return nil }},
		{"name", s.Names, new(patternCheck).next},
		{"path", s.Paths, new(patternCheck).path},
	} {
		for _, text := range list.texts {
			switch {
			case text == "":
				return invalidf("--%s: expected a value, got an empty one", list.flag)
			case len(text) > MaxSelectedText:
				return invalidf("--%s: a value of %d bytes, at most %d are possible", list.flag, len(text), MaxSelectedText)
			}
			if err := list.check(text); err != nil {
				return invalidf("--%s %s: %w", list.flag, text, err)
			}
		}
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return &Error{Kind: KindInvalid, Err: fmt.Errorf(format, args...)}
}
