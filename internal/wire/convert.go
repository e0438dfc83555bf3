package wire

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"dtc"
)

// fields copies single values into a message or out of it. As with columns,
// one function that names the fields serves both directions.
type fields struct {
	decode bool // from the message, else into it
}

func (f fields) int(m **int64, v *int) {
	n := int64(*v)
	f.size(m, &n)
	*v = int(n)
}

func (f fields) size(m **int64, v *int64) {
	switch {
	case f.decode && *m != nil:
		*v = max(**m, dtc.Absent)
	case f.decode:
		*v = dtc.Absent
	case *v != dtc.Absent:
		*m = new(*v)
	}
}

func (f fields) float(m **float64, v *float64) {
	switch {
	case f.decode && *m != nil:
		*v = finite(**m)
	case f.decode:
		*v = dtc.AbsentFloat()
	case !math.IsNaN(*v):
		*m = new(*v)
	}
}

func (f fields) text(m *[]byte, v *string) {
	if f.decode {
		*v = cut(*m, maxNote)
		return
	}
	*m = []byte((*v)[:min(len(*v), maxNote)])
}

func (f fields) time(m **TimeMessage, v *time.Time) {
	if f.decode {
		*v = (*m).time()
		return
	}
	*m = newTime(*v)
}

// cut returns b as a string of at most n bytes.
func cut(b []byte, n int) string { return string(b[:min(len(b), n)]) }

// The times that can be written as RFC 3339 in any zone.
const (
	minSeconds = -62135510400 // 0001-01-02
	maxSeconds = 253402214400 // 9999-12-31
	maxOffset  = 24 * 60 * 60 // seconds east or west of UTC
)

func newTime(t time.Time) *TimeMessage {
	if t.IsZero() {
		return nil
	}
	name, offset := t.Zone()
	return &TimeMessage{
		Seconds: t.Unix(), Nanos: uint32(t.Nanosecond()),
		Zone: &ZoneMessage{OffsetSeconds: int32(offset), Abbreviation: []byte(name)},
	}
}

// time returns the zero time for one that is not there or cannot be.
func (m *TimeMessage) time() time.Time {
	if m == nil || m.Seconds < minSeconds || m.Seconds > maxSeconds || m.Nanos >= 1e9 {
		return time.Time{}
	}
	return time.Unix(m.Seconds, int64(m.Nanos)).In(m.Zone.location())
}

func (m *ZoneMessage) location() *time.Location {
	if m == nil || m.OffsetSeconds <= -maxOffset || m.OffsetSeconds >= maxOffset {
		return time.UTC
	}
	return time.FixedZone(cut(m.Abbreviation, 32), int(m.OffsetSeconds))
}

func newInfo(info dtc.Info) *InfoMessage {
	return &InfoMessage{Version: []byte(info.Version), Boot: []byte(info.Boot), Run: []byte(info.Run)}
}

func (m *InfoMessage) info() dtc.Info {
	return dtc.Info{Version: cut(m.Version, maxShort), Boot: cut(m.Boot, maxShort), Run: cut(m.Run, maxShort)}
}

func invalid(format string, args ...any) error {
	return &dtc.Error{Kind: dtc.KindInvalid, Err: fmt.Errorf(format, args...)}
}

// span returns a time that a peer has measured, within limits that a sum of two
// stays clear of the type's.
func span(nanos int64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	return min(max(time.Duration(nanos), 0), century)
}

// clean makes one bounded line of what a peer said, without anything that a
// terminal would obey.
func clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxNote)], "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
