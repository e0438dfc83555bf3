package wire

import "dtc"

// newSelection returns nil for one that selects all.
func newSelection(s *dtc.Selection) *SelectionMessage {
	if s.IsZero() {
		return nil
	}
	return &SelectionMessage{
		Pids: wide(s.PIDs), Users: toBytes(s.Users), Names: toBytes(s.Names), Paths: toBytes(s.Paths),
		Ports: wide(s.Ports), Sort: []byte(s.Sort), Limit: int64(s.Limit),
	}
}

// selection returns the selection that is meant, which need not make sense. It
// refuses one that this program does not know all of: applied without the rest
// it would give what was not asked for.
func (m *SelectionMessage) selection() (s dtc.Selection, err error) {
	if m == nil {
		return s, nil
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return s, invalid("the agent here is older than the program that asks and cannot select so: update it, or ask for more")
	}
	for _, n := range []int{len(m.Pids), len(m.Users), len(m.Names), len(m.Paths), len(m.Ports)} {
		if n > dtc.MaxSelected {
			return s, invalid("%d values to select by, at most %d are possible", n, dtc.MaxSelected)
		}
	}
	for _, list := range [][][]byte{m.Users, m.Names, m.Paths, {m.Sort}} {
		for _, text := range list {
			if len(text) > dtc.MaxSelectedText {
				return s, invalid("a value of %d bytes to select by, at most %d are possible", len(text), dtc.MaxSelectedText)
			}
		}
	}
	s = dtc.Selection{
		PIDs: narrow(m.Pids), Users: toStrings(m.Users), Names: toStrings(m.Names), Paths: toStrings(m.Paths),
		Ports: narrow(m.Ports), Sort: string(m.Sort), Limit: int(min(m.Limit, maxAnswerRows)),
	}
	return s, nil
}

func wide(in []int) []int64 { return each(in, func(n int) int64 { return int64(n) }) }

// narrow keeps what no system's int holds as a number that is no pid and no port.
func narrow(in []int64) []int {
	return each(in, func(n int64) int {
		if int64(int32(n)) != n {
			return dtc.Absent
		}
		return int(n)
	})
}

func toBytes(in []string) [][]byte   { return each(in, func(s string) []byte { return []byte(s) }) }
func toStrings(in [][]byte) []string { return each(in, func(b []byte) string { return string(b) }) }

// each returns what f makes of every element; nil of none.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
