package render

import (
	"time"

	"dtc"
)

// whoTime is how who prints a time in every locale but C and POSIX: with the
// year, without which a login of last November looks like one of this.
const whoTime = "2006-01-02 15:04"

// whoAnswer renders as `who`.
type whoAnswer struct{ escape escape }

func newWhoAnswer(opt Options) *whoAnswer { return &whoAnswer{escape: plainEscape(opt)} }

func (a *whoAnswer) append(b []byte, part *dtc.Report) []byte {
	for i := range part.Users {
		b = a.row(b, &part.Users[i], part.CollectedAt)
	}
	return b
}

// row appends one login. The widths are those of who, which counts bytes.
func (a *whoAnswer) row(b []byte, u *dtc.User, now time.Time) []byte {
	const nameWidth, lineWidth = 8, 12
	start := len(b)
	b = appendEscaped(b, orAbsent(u.Name), a.escape)
	b = appendSpaces(b, nameWidth-(len(b)-start))
	b = append(b, ' ')
	start = len(b)
	b = appendEscaped(b, orAbsent(u.Line), a.escape)
	b = appendSpaces(b, lineWidth-(len(b)-start))
	b = append(b, ' ')
	if known(u.LoginAt) {
		b = onHost(u.LoginAt, now).AppendFormat(b, whoTime)
	} else {
		b = append(appendSpaces(b, len(whoTime)-len(absent)), absent...)
	}
	if u.From != "" {
		b = appendEscaped(append(b, " ("...), u.From, a.escape)
		b = append(b, ')')
	}
	return append(b, '\n')
}
