package main

import (
	"regexp"
	"slices"
)

// highlighter finds what is to be shown in reverse.
type highlighter struct{ all []*regexp.Regexp }

// maxHighlights is how much of one line is shown in reverse at most: so many
// matches of each expression.
const maxHighlights = 1000

func newHighlighter(expressions []string) (*highlighter, error) {
	h := &highlighter{}
	for _, text := range expressions {
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, usagef("--highlight: %w", err)
		}
		h.all = append(h.all, re)
	}
	return h, nil
}

// find appends the matches in a line as it came, before anything is escaped:
// in order, without overlap, none empty. A match begins and ends between
// characters, so that the pieces escaped one by one are the line escaped.
func (h *highlighter) find(out [][2]int, line []byte) [][2]int {
	if h == nil {
		return out
	}
	for _, re := range h.all {
		for _, m := range re.FindAllIndex(line, maxHighlights) {
			if m[0] < m[1] {
				out = append(out, [2]int{m[0], m[1]})
			}
		}
	}
	if len(h.all) < 2 {
		return out
	}
	slices.SortFunc(out, func(a, b [2]int) int { return a[0] - b[0] })
	kept := out[:0]
	for _, m := range out {
		if n := len(kept); n > 0 && m[0] <= kept[n-1][1] {
			kept[n-1][1] = max(kept[n-1][1], m[1])
			continue
		}
		kept = append(kept, m)
	}
	return kept
}
