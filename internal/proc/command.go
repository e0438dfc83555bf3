package proc

import (
	"strings"
	"unicode/utf8"
)

// cutText returns the first limit bytes of a text at most, valid UTF-8, cut
// between two characters.
func cutText(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
