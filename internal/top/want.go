package top

import (
	"strconv"
	"strings"

	"dtc"
)

// subject is a list that a host can be asked for.
type subject uint8

const (
	noList subject = iota
	processes
	openFiles
)

// want is what the screen needs beside the lines of the hosts.
type want struct {
	subject subject
	host    int
	pid     int    // whose files, 0 for those of all
	sort    string // of processes
	filter  string // of the items only those that match, "" for all: see matches
	paused  bool   // nobody is to be asked
}

// same tells whether an answer to one is an answer to the other.
func (w want) same(other want) bool {
	return w.subject == other.subject && w.host == other.host && w.pid == other.pid && w.filter == other.filter
}

// limit returns how many items a host is asked for: one more than are shown,
// which tells that there are more, or all if only some are to be kept.
func (w want) limit() int {
	if w.filter != "" {
		return 0
	}
	return maxItems + 1
}

// filtered is what a filter has to be given to the host for: a list that is too
// long to be shown as a whole.
type filtered struct {
	partial bool // there is more of the list than is shown
}

// took takes note of whether an answer to a question with that filter was whole.
func (f *filtered) took(filter string, more bool) {
	if filter == "" {
		f.partial = more
	}
}

// of returns the filter that goes into the question: none while the list is
// there as a whole, where the screen itself finds what matches.
func (f *filtered) of(filter string) string {
	if !f.partial {
		return ""
	}
	return strings.ToLower(filter)
}

// matches tells whether one of the texts has the filter in it, without regard
// to case. The filter is in small letters.
func matches(filter string, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(strings.ToLower(text), filter) {
			return true
		}
	}
	return filter == ""
}

func matchesProcess(filter string, p *dtc.Process) bool {
	return filter == "" || matches(filter, p.Command, p.Name, p.User, strconv.Itoa(p.PID))
}

func matchesFile(filter string, o *dtc.OpenFile) bool {
	return filter == "" || matches(filter, o.Name, o.Command, o.User, o.Type, o.FD, o.Node, strconv.Itoa(o.PID))
}
