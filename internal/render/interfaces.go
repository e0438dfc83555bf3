package render

import (
	"strconv"
	"strings"

	"dtc"
)

// ipAnswer renders as `ip -s link`.
type ipAnswer struct{ escape escape }

func newIPAnswer(opt Options) *ipAnswer { return &ipAnswer{escape: plainEscape(opt)} }

func (a *ipAnswer) append(b []byte, part *dtc.Report) []byte {
	for i := range part.Interfaces {
		b = a.link(b, &part.Interfaces[i])
	}
	return b
}

func (a *ipAnswer) link(b []byte, i *dtc.Interface) []byte {
	b = a.first(b, i)
	b = a.second(b, i)
	if i.Alias != "" {
		b = a.labeled(b, "\n    alias ", i.Alias)
	}
	if i.XDPPrograms != "" {
		for program := range strings.SplitSeq(i.XDPPrograms, ", ") {
			b = append(a.labeled(b, "\n    ", program), ' ')
		}
	}
	b = appendTraffic(append(b, '\n'), i)
	for name := range strings.FieldsSeq(i.AltNames) {
		b = a.labeled(b, "\n    altname ", name)
	}
	return append(b, '\n')
}

// first appends the line of the names, the flags and the state.
func (a *ipAnswer) first(b []byte, i *dtc.Interface) []byte {
	b = append(strconv.AppendInt(b, int64(i.Index), 10), ": "...)
	b = appendEscaped(b, i.Name, a.escape)
	if i.Lower != "" {
		b = a.labeled(b, "@", i.Lower)
	}
	b = a.labeled(b, ": <", i.Flags)
	b = append(b, "> "...)
	if i.MTUBytes >= 0 {
		b = append(strconv.AppendInt(append(b, "mtu "...), i.MTUBytes, 10), ' ')
	}
	for _, field := range [...]struct{ label, value string }{
		{"", i.XDP},
		{"qdisc ", i.Qdisc},
		{"master ", i.Master},
		{"state ", i.State},
		{"mode ", i.Mode},
		{"group ", i.Group},
	} {
		if field.value != "" {
			b = append(a.labeled(b, field.label, field.value), ' ')
		}
	}
	if i.QueueLen > 0 {
		b = strconv.AppendInt(append(b, "qlen "...), i.QueueLen, 10)
	}
	return b
}

// second appends the line of the hardware addresses.
func (a *ipAnswer) second(b []byte, i *dtc.Interface) []byte {
	b = append(a.labeled(b, "\n    link/", orAbsent(i.LinkType)), ' ')
	b = appendEscaped(b, i.Address, a.escape)
	if i.Broadcast != "" {
		label := " brd "
		if strings.Contains(","+i.Flags+",", ",POINTOPOINT,") {
			label = " peer "
		}
		b = a.labeled(b, label, i.Broadcast)
	}
	if i.Rest == "" {
		return b
	}
	// ip ends this mark, and no other, with a space.
	rest, marked := strings.CutSuffix(i.Rest, "protodown on")
	b = a.labeled(b, " ", rest)
	if marked {
		b = append(b, "protodown on "...)
	}
	return b
}

func (a *ipAnswer) labeled(b []byte, label, value string) []byte {
	return appendEscaped(append(b, label...), value, a.escape)
}

// The columns of the counters. ip widens each of an interface for its widest
// figure.
const (
	ipColumns    = 6
	ipCompressed = "compressed" // a seventh, of which only the figures above 0 are shown
)

// appendTraffic appends the four lines of the counters, the last one without
// its end.
func appendTraffic(b []byte, i *dtc.Interface) []byte {
	received := [ipColumns]int64{i.RX.Bytes, i.RX.Packets, i.RX.Errors, i.RX.Dropped, i.RX.Missed, i.RX.Multicast}
	sent := [ipColumns]int64{i.TX.Bytes, i.TX.Packets, i.TX.Errors, i.TX.Dropped, i.TX.Carrier, i.TX.Collisions}
	width := [ipColumns]int{len("RX errors:"), len("packets"), len("errors"), len("dropped"), len("heartbt"), len("overrun")}
	for c := range width {
		width[c] = max(width[c], countWidth(received[c]), countWidth(sent[c]))
	}
	compressed := max(len(ipCompressed), countWidth(i.RX.Compressed), countWidth(i.TX.Compressed))
	rx := trafficLines{
		titles: [ipColumns]string{"bytes", "packets", "errors", "dropped", "missed", "mcast"},
		label:  "    RX: ", counts: &received, compressed: i.RX.Compressed, width: &width, last: compressed,
	}
	tx := trafficLines{
		titles: [ipColumns]string{"bytes", "packets", "errors", "dropped", "carrier", "collsns"},
		label:  "    TX: ", counts: &sent, compressed: i.TX.Compressed, width: &width, last: compressed,
	}
	return tx.append(append(rx.append(b), '\n'))
}

// trafficLines are the counters of one direction.
type trafficLines struct {
	label      string
	titles     [ipColumns]string
	counts     *[ipColumns]int64
	width      *[ipColumns]int
	compressed int64
	last       int // width of the seventh column
}

func (t *trafficLines) append(b []byte) []byte {
	b = append(b, t.label...)
	for c, title := range t.titles {
		width := t.width[c]
		if c == 0 {
			width -= len("RX: ")
		}
		b = append(appendRight(b, title, width), ' ')
	}
	title := ""
	if t.compressed > 0 {
		title = ipCompressed
	}
	b = append(appendRight(b, title, t.last), "\n    "...)
	for c, count := range t.counts {
		b = append(appendCount(b, count, t.width[c]), ' ')
	}
	if t.compressed > 0 {
		b = append(appendCount(b, t.compressed, t.last), ' ')
	}
	return b
}

func countWidth(v int64) int {
	var digits [20]byte
	return len(strconv.AppendInt(digits[:0], max(v, 0), 10))
}

// appendCount appends a figure at the right end of a column, or the mark of an
// absent one.
func appendCount(b []byte, v int64, width int) []byte {
	start := len(b)
	if v < 0 {
		b = append(b, absent...)
	} else {
		b = strconv.AppendInt(b, v, 10)
	}
	return alignRight(b, start, len(b)-start, width)
}
