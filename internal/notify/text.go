package notify

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"dtc"
	"dtc/internal/render"
)

// The bounds of what is shown of one thing, in characters.
const (
	maxTitle     = 200
	maxEventLine = 500
	maxSnippet   = 200 // of an answer that is no success
	maxError     = 600
)

// clock is a time on this machine, to read.
const clock = "2006-01-02 15:04:05"

// medium is a way in which text reaches a reader.
type medium struct {
	limit  int                 // of all that size counts, newlines included
	size   func(string) int    // of a piece of text as it is sent
	escape func(string) string // so that nothing in a line is more than text; nil: nothing is
}

// text returns a notice as lines: its title, since when it is so, and a line an
// event, each escaped. What is beyond the medium's limit is left out at the end
// of a line, and counted.
func (m medium) text(n *Notice) []string {
	lines := []string{m.line("[DTC] "+render.Escape(n.Title), maxTitle)}
	if since := sinceLine(n); since != "" {
		lines = append(lines, m.line(since, maxTitle))
	}
	used := 0
	for _, line := range lines {
		used += m.cost(line)
	}
	for i := range n.Events {
		left := len(n.Events) - i
		line := m.line(strings.TrimSuffix(string(render.EventText(&n.Events[i])), "\n"), maxEventLine)
		rest := 0
		if left > 1 {
			rest = m.cost(moreLine(left - 1))
		}
		if used+m.cost(line)+rest > m.limit {
			return append(lines, moreLine(left))
		}
		lines, used = append(lines, line), used+m.cost(line)
	}
	return lines
}

// line returns a line as it is sent, cut after so many characters, and at a
// quarter of the medium's limit.
func (m medium) line(text string, most int) string {
	for {
		line := cut(text, most)
		if m.escape != nil {
			line = m.escape(line)
		}
		size := m.cost(line)
		if size <= m.limit/4 || most <= 1 {
			return line
		}
		most = min(most, utf8.RuneCountInString(text)) * m.limit / 4 / size
	}
}

func (m medium) cost(line string) int { return m.size(line + "\n") }

// moreLine says how many events are not shown. It needs no escape anywhere.
func moreLine(n int) string { return fmt.Sprintf("and %d more", n) }

// sinceLine says since when that was wrong of which a notice tells; "" if it
// does not know.
func sinceLine(n *Notice) string {
	if n.Since.IsZero() {
		return ""
	}
	since := fmt.Sprintf("since %s, for %s", n.Since.Local().Format(clock), dtc.FormatLived(n.Time.Sub(n.Since)))
	switch {
	case len(n.Events) > 1:
		return "the first " + since
	case n.Kind == Recovery:
		return "it was wrong " + since
	default:
		return "it is wrong " + since
	}
}

// cut returns at most so many characters of a text, an ellipsis being the last
// where some are missing.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(most-1, 0)]) + "…"
}

// zeroWidth is a space that nobody sees, and that ends a name, a tag or a link.
const zeroWidth = "\u200b"

// defuse breaks what a chat program makes more than text of, wherever it comes
// from: a mention of somebody, a tag, a link. Looks stay as they are.
func defuse(s string) string {
	return strings.NewReplacer("@", "@"+zeroWidth, "://", ":"+zeroWidth+"//", "](", "]"+zeroWidth+"(",
		"<", "<"+zeroWidth, "www.", "www"+zeroWidth+".").Replace(s)
}

// oneLine returns the text of an error: without a secret, escaped, bounded.
func (v *values) oneLine(text string) string { return cut(render.Escape(v.mask(text)), maxError) }

// snippet returns the beginning of an answer, to stand at the end of an error;
// "" if there is nothing in it.
func (v *values) snippet(body []byte) string {
	text := strings.Join(strings.Fields(v.mask(string(body))), " ")
	if text == "" {
		return ""
	}
	return ": " + cut(render.Escape(text), maxSnippet)
}
