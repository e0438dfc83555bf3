package ship

import (
	"dtc"
)

// holeWeight is how many bytes on their way a hole counts as: it needs no
// memory anywhere, but the monitor shall not be flooded with them.
const holeWeight = 4 << 10

// hole is a range of a source that was sent as one, and that the monitor has
// not acknowledged.
type hole struct{ from, to int64 }

// pass sends the hole at which the reader stopped.
func (x *session) pass(st *stream, sh *shipment) outcome {
	n, err := x.reader.Pass(sh.Generation, dtc.MaxHole)
	if n == 0 || err != nil { // whatever it is, reading on will tell
		return outAgain
	}
	x.open(st, sh)
	at := sh.Position() - n
	x.send(st, dtc.Frame{
		Kind: dtc.FrameHole, Generation: sh.number, Offset: at, End: at + n, Sum: dtc.ZeroSum(0, n),
	})
	sh.sum = dtc.ZeroSum(sh.sum, n)
	sh.holes = append(sh.holes, hole{at, at + n})
	st.account()
	return outBulk
}

// underway returns how many bytes of sh were sent and are not acknowledged,
// holes aside.
func (sh *shipment) underway() int64 {
	acked := max(sh.acked, sh.Start)
	for len(sh.holes) > 0 && sh.holes[0].to <= acked {
		sh.holes = sh.holes[1:]
	}
	n := max(sh.Position()-acked, 0)
	for _, h := range sh.holes {
		n -= h.to - max(h.from, acked) - holeWeight
	}
	return n
}
