package render

import (
	"io"
	"strings"
	"unicode/utf8"
)

// escape is a way to show what must not reach a terminal.
type escape uint8

const (
	escapeGo   escape = iota // \n, \x1b, \u202e
	escapePS                 // ?, in the place of each, as ps does
	escapeLsof               // ^[, \n, \x7f, and \\ for a backslash, as lsof does
	escapeNone               // raw: the user asked for it
)

// Escape returns s with every control character (C0, C1, DEL, those that turn
// the direction of text, line and paragraph separators) and every byte that is
// not UTF-8 in a visible form: \n, \x1b, \u202e, \xff. A backslash stays as it
// is.
func Escape(s string) string {
	if isSafe(s) {
		return s
	}
	return string(AppendEscaped(nil, s))
}

// AppendEscaped appends [Escape] of s to b.
func AppendEscaped(b []byte, s string) []byte { return appendEscaped(b, s, escapeGo) }

// isSafe tells whether s is printable ASCII, the case that costs nothing.
func isSafe(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// unsafeRune tells whether r can move a cursor, turn text or end a line.
func unsafeRune(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r < 0x061c:
		return false
	case r == 0x061c, r == 0x200e, r == 0x200f: // Arabic letter mark, direction marks
		return true
	case r >= 0x2028 && r <= 0x202e: // line and paragraph separator, embeddings and overrides
		return true
	case r >= 0x2066 && r <= 0x206f: // isolates, deprecated format characters
		return true
	}
	return false
}

// appendEscaped appends s to b, with esc in the place of all that is unsafe.
func appendEscaped(b []byte, s string, esc escape) []byte {
	if esc == escapeNone || isSafe(s) && (esc != escapeLsof || strings.IndexByte(s, '\\') < 0) {
		return append(b, s...)
	}
	for i := 0; i < len(s); {
		var n int
		b, n = appendRune(b, s[i:], esc)
		i += n
	}
	return b
}

// appendRune appends the first rune of s, and returns how many bytes of s that
// took. s is not empty.
func appendRune(b []byte, s string, esc escape) ([]byte, int) {
	if c := s[0]; c >= ' ' && c <= '~' {
		if c == '\\' && esc == escapeLsof {
			b = append(b, '\\')
		}
		return append(b, c), 1
	}
	r, n := utf8.DecodeRuneInString(s)
	valid := r != utf8.RuneError || n > 1
	switch {
	case esc == escapeNone || valid && !unsafeRune(r):
		return append(b, s[:n]...), n
	case esc == escapePS:
		return append(b, '?'), n
	case esc == escapeLsof:
		for i := range n {
			b = appendLsofByte(b, s[i])
		}
		return b, n
	case !valid:
		return appendHexByte(b, s[0]), n
	default:
		return appendGoRune(b, r), n
	}
}

const hexDigits = "0123456789abcdef"

func appendHexByte(b []byte, c byte) []byte {
	return append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// appendU appends the escape of a rune below 0x10000 that JSON and Go share.
func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// appendGoRune appends the escape of an unsafe rune; all of them are below
// 0x10000.
func appendGoRune(b []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(b, `\n`...)
	case r == '\r':
		return append(b, `\r`...)
	case r == '\t':
		return append(b, `\t`...)
	case r < 0x80:
		return appendHexByte(b, byte(r))
	default:
		return appendU(b, r)
	}
}

// appendLsofByte appends an unprintable byte as lsof does (safestrprt in its
// man page's OUTPUT: \b \f \n \r \t, ^X for other control characters, else
// \xNN).
func appendLsofByte(b []byte, c byte) []byte {
	switch c {
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if c < ' ' {
		return append(b, '^', c+'@')
	}
	return appendHexByte(b, c)
}

// Escaper writes a stream with all that is unsafe in it escaped as by
// [Escape]; newlines and tabs stay, and a carriage return before a newline is
// taken as a part of it and left out.
type Escaper struct {
	w    io.Writer
	rest []byte // the beginning of a rune, or a carriage return, whose end has not come yet
	buf  []byte // reused
}

// EscapingWriter returns an [Escaper] that writes to w. Its Flush writes what
// waits for the end of a rune.
func EscapingWriter(w io.Writer) *Escaper { return &Escaper{w: w} }

// Write escapes p and writes it. At most three bytes of it are held back until
// the next Write or Flush: the beginning of a rune.
func (e *Escaper) Write(p []byte) (int, error) {
	in := p
	if len(e.rest) > 0 {
		in = append(e.rest, p...)
	}
	whole := len(in) - unfinished(in)
	e.buf = appendStream(e.buf[:0], in[:whole])
	e.rest = append(e.rest[:0], in[whole:]...) // in may share memory with rest: append moves it
	if _, err := e.w.Write(e.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the bytes that were held back, escaped.
func (e *Escaper) Flush() error {
	if len(e.rest) == 0 {
		return nil
	}
	e.buf = appendEscaped(e.buf[:0], string(e.rest), escapeGo)
	e.rest = e.rest[:0]
	_, err := e.w.Write(e.buf)
	return err
}

// unfinished returns how many bytes at the end of p may go on in the next
// write: an incomplete rune, or a carriage return.
func unfinished(p []byte) int {
	if n := len(p); n > 0 && p[n-1] == '\r' {
		return 1
	}
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		c := p[len(p)-n]
		if !utf8.RuneStart(c) {
			continue
		}
		if c >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-n:]) {
			return n
		}
		return 0
	}
	return 0
}

// appendStream appends p escaped, but for newlines and tabs.
func appendStream(b, p []byte) []byte {
	for len(p) > 0 {
		run := 0
		for run < len(p) && (p[run] >= ' ' && p[run] <= '~' || p[run] == '\n' || p[run] == '\t') {
			run++
		}
		b, p = append(b, p[:run]...), p[run:]
		switch {
		case len(p) == 0:
		case len(p) > 1 && p[0] == '\r' && p[1] == '\n':
			p = p[1:]
		default:
			var n int
			b, n = appendRune(b, string(p[:min(len(p), utf8.UTFMax)]), escapeGo)
			p = p[n:]
		}
	}
	return b
}
