package top

import (
	"strings"
	"unicode/utf8"

	"dtc/internal/render"
)

// clean returns s in a form that may be shown: escaped, and without the runes
// that make one glyph of several, which terminals measure differently.
func clean(s string) string {
	s = render.Escape(s)
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case 0x200b, 0x200c, 0x200d, 0xfe0e, 0xfe0f: // zero width space and joiners, variation selectors
			return -1
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// window returns that many cells of s, from the cell number from on. A wide
// rune that is half outside becomes a space; what is missing is filled with
// spaces. s has no control characters.
func window(s string, from, width int) string {
	if width <= 0 {
		return ""
	}
	if isASCII(s) {
		s = s[min(from, len(s)):]
		return s[:min(width, len(s))] + spaces(width-len(s))
	}
	var b strings.Builder
	at, shown := 0, false // the cell behind the last rune; whether that was shown
	for _, r := range s {
		w := render.Width(string(r))
		begin, end := at, at+w
		at = end
		switch {
		case w == 0:
			if shown {
				b.WriteRune(r)
			}
			continue
		case begin >= from && end <= from+width:
			b.WriteRune(r)
			shown = true
			continue
		case end > from && begin < from+width: // half
			b.WriteByte(' ')
		}
		shown = false
		if begin >= from+width {
			break
		}
	}
	return b.String() + spaces(width-max(min(at, from+width)-from, 0))
}

// fit returns s in exactly that many cells; what is cut ends in a plus sign, as
// ps marks it.
func fit(s string, width int) string {
	if width > 0 && render.Width(s) > width {
		return window(s, 0, width-1) + "+"
	}
	return window(s, 0, width)
}

// right returns s at the right end of that many cells, not cut.
func right(s string, width int) string { return spaces(width-render.Width(s)) + s }

const blank = "                                                                "

// spaces returns n spaces, none if n is negative.
func spaces(n int) string {
	if n <= len(blank) {
		return blank[:max(n, 0)]
	}
	return strings.Repeat(" ", n)
}
