package logs

import (
	"fmt"
	"strings"
	"unicode"

	"dtc"
)

// maxFollow is how many bytes of what an agent says of a source are kept.
const maxFollow = 200

// follow takes note of how well the source can be followed.
func (att *attachment) follow(f *dtc.Frame) error {
	if len(f.Text) > dtc.MaxText {
		return fmt.Errorf("%w: a text that cannot be", errProtocol)
	}
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	att.quality = plainText(f.Text)
	return nil
}

// plainText returns a text of an agent as one that harms no list.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return cut(strings.TrimSpace(s), maxFollow)
}
