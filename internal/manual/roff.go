package manual

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// roff is a page in the making.
type roff struct{ bytes.Buffer }

// request writes a request or macro with its arguments.
func (r *roff) request(name string, args ...string) {
	r.WriteString("." + name)
	for _, arg := range args {
		r.WriteString(` "` + escape(arg) + `"`)
	}
	r.WriteByte('\n')
}

// title begins a page. Its date stands there raw: mandoc(1) reads it.
func (r *roff) title(name string, date time.Time, source, manual string) {
	fmt.Fprintf(r, ".TH \"%s\" %s %s \"%s\" \"%s\"\n",
		escape(name), section, date.UTC().Format(time.DateOnly), escape(source), escape(manual))
}

// line writes text that is escaped already. Where a line of it begins with a
// control character, that is text too.
func (r *roff) line(escaped string) {
	for line := range strings.SplitSeq(escaped, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
			line = `\&` + line
		}
		r.WriteString(line + "\n")
	}
}

// item writes a tagged paragraph, of a tag that is escaped already.
func (r *roff) item(tag, text string) {
	r.request("TP")
	r.line(tag)
	r.line(escape(text))
}

// text writes a help text: paragraphs, which are filled, and lines that are
// indented there, which stay as they are.
func (r *roff) text(text string) {
	literal, begun, broken := false, false, false
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		if line == "" {
			broken = true
			continue
		}
		switch indented := strings.HasPrefix(line, "  "); {
		case indented && !literal:
			if begun && broken {
				r.request("PP")
			}
			r.request("RS", "4")
			r.request("nf")
			literal = true
		case indented && broken:
			r.WriteString(".sp\n")
		case !indented && literal:
			r.endLiteral()
			literal = false
			r.request("PP")
		case !indented && begun && broken:
			r.request("PP")
		}
		r.line(escape(strings.TrimPrefix(line, "  ")))
		begun, broken = true, false
	}
	if literal {
		r.endLiteral()
	}
}

func (r *roff) endLiteral() {
	r.request("fi")
	r.request("RE")
}

func bold(text string) string   { return `\fB` + escape(text) + `\fR` }
func italic(text string) string { return `\fI` + escape(text) + `\fR` }

// escape makes any text one that is printed as it stands: what roff reads as its
// own, and what it would turn into typographic signs, is named instead, see
// groff_char(7). An ellipsis is three dots. Control characters but the newline are left out.
func escape(text string) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == '\\':
			b.WriteString(`\(rs`)
		case c == '-':
			b.WriteString(`\-`)
		case c == '\'':
			b.WriteString(`\(aq`)
		case c == '`':
			b.WriteString(`\(ga`)
		case c == '^':
			b.WriteString(`\(ha`)
		case c == '~':
			b.WriteString(`\(ti`)
		case c == '"':
			b.WriteString(`\(dq`)
		case c == '…': // not in every locale
			b.WriteString("...")
		case c == '\n', c >= ' ' && c < 0x7f:
			b.WriteRune(c)
		case c > 0x9f:
			fmt.Fprintf(&b, `\[u%04X]`, c)
		}
	}
	return b.String()
}
