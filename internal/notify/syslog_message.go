package notify

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dtc"
	"dtc/internal/render"
)

// syslogEntry is what a message says.
type syslogEntry struct {
	priority int
	at       time.Time
	host     string
	id       string // what kind of message
	data     []pair
	text     string
}

// pair is one parameter of structured data.
type pair struct{ name, value string }

// syslogMessages makes the messages of a notice in a form.
func syslogMessages(facility int, n *Notice, form func(syslogEntry) []byte) [][]byte {
	about := []pair{{"notice", n.ID}, {"kind", string(n.Kind)}}
	if len(n.Events) == 0 {
		return [][]byte{form(syslogEntry{
			priority: facility<<3 | severity(n.Kind, ""), at: n.Time, id: string(n.Kind), data: about, text: n.Title,
		})}
	}
	messages := make([][]byte, len(n.Events))
	for i := range n.Events {
		e := &n.Events[i]
		messages[i] = form(syslogEntry{
			priority: facility<<3 | severity(n.Kind, e.State), at: e.Time, host: e.Host, id: string(e.State),
			data: slices.Concat(about, eventData(e)), text: render.EventWhat(e),
		})
	}
	return messages
}

// severity is how bad a state is, as syslog(3) counts it.
func severity(kind NoticeKind, state dtc.State) int {
	const err, warning, notice, info = 3, 4, 5, 6
	switch kind {
	case Recovery:
		return notice
	case Test:
		return info
	default:
	}
	switch state {
	case dtc.StateDead, dtc.StateMissing, dtc.StateUnreachable, dtc.StateCorrupt, dtc.StateRefused, dtc.StateUndelivered:
		return err
	case dtc.StateAlive, dtc.StateNormal, dtc.StateReachable, dtc.StateResumed, dtc.StateReplaced, dtc.StateRejoined:
		return notice
	default:
		return warning
	}
}

// Bounds of the fields of a header: RFC 5424, 6.
const (
	maxSyslogHost = 255
	maxSyslogID   = 32
)

func eventData(e *dtc.Event) []pair {
	data := []pair{{"event", e.ID}, {"state", string(e.State)}, {"host", e.Host}, {"address", e.Address}, {"process", e.Rule}}
	if e.PID != 0 {
		data = append(data, pair{"pid", strconv.Itoa(e.PID)})
	}
	return data
}

// syslogMessage returns a message of RFC 5424, of maxSyslog bytes at most.
func syslogMessage(r syslogEntry) []byte {
	const byteOrderMark = "\ufeff"
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s dtc - %s [dtc@32473", r.priority, r.at.Format("2006-01-02T15:04:05.000000Z07:00"),
		syslogWord(r.host, maxSyslogHost), syslogWord(r.id, maxSyslogID))
	for _, p := range r.data {
		if p.value != "" {
			fmt.Fprintf(&b, ` %s="%s"`, p.name, syslogValue(p.value))
		}
	}
	b.WriteString("] ")
	text := render.Escape(r.text)
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		b.WriteString(byteOrderMark)
	}
	b.WriteString(cutBytes(text, maxSyslog-b.Len()))
	return b.Bytes()
}

// localMessage returns a message as syslog(3) writes it, of maxSyslog bytes at
// most.
func localMessage(r syslogEntry) []byte {
	end := ""
	for _, p := range r.data {
		if p.name == "event" && p.value != "" {
			end = " event=" + cutBytes(render.Escape(p.value), maxSyslogValue)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>%s dtc: ", r.priority, r.at.Local().Format(time.Stamp))
	if r.host != "" {
		b.WriteString(syslogWord(r.host, maxSyslogHost) + " ")
	}
	b.WriteString(cutBytes(render.Escape(r.text), maxSyslog-b.Len()-len(end)) + end)
	return b.Bytes()
}

// syslogWord returns a field of a header: printable ASCII without spaces, "-" if
// there is nothing.
func syslogWord(s string, most int) string {
	word := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s)
	if word == "" {
		return "-"
	}
	return cutBytes(word, most)
}

// maxSyslogValue is how many bytes a value of structured data has at most,
// before it is escaped: with eight of them there is room for a text.
const maxSyslogValue = 100

// syslogValue returns a value of structured data, escaped.
func syslogValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(cutBytes(render.Escape(s), maxSyslogValue))
}

// cutBytes returns the first bytes of a text, as many characters as are whole.
func cutBytes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	most = max(most, 0)
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
