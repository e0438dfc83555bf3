package ship

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
	"unicode/utf8"

	"dtc"
	"dtc/internal/follow"
)

// castagnoli is the polynomial of the protocol's sums; it is never changed.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

const (
	// bulkWindow bounds the bytes on their way of streams that catch up, so that a
	// live line never waits behind more than that.
	bulkWindow = 8 << 20
	// minChunk is the least room in a window that is worth a read, unless there
	// is less to read.
	minChunk = 64 << 10

	sizeEvery = 250 * time.Millisecond
	heldAgain = 50 * time.Millisecond // after bytes of a file server that are not certain yet
)

// outcome is what became of one turn of a stream.
type outcome uint8

const (
	outIdle  outcome = iota // nothing to do until something is heard
	outAgain                // there may be more, at once
	outBulk                 // there is more than one chunk
	outFull                 // there is more, and no room in a window
)

// pump gives the stream one turn: at most one chunk is read. What is to be sent
// is in x.out; it must be sent before the next turn of any stream.
func (x *session) pump(st *stream, now time.Time) outcome {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wake = time.Time{}
	if st.session != x {
		x.attach(st) // there was no file until now
	} else if !st.retry.IsZero() {
		x.retry(st, now)
	}
	if st.session == x && st.toMatch {
		x.match(st)
	}
	if st.session != x || !st.granted || st.stopped || st.closed {
		return outIdle
	}
	if st.highest == 0 {
		if err := x.first(st); err != nil {
			return x.unreadable(st, err, now)
		}
	}
	x.tellLost(st)
	x.tellLosses(st)
	x.tellMissed(st)
	x.tellQuality(st)
	sh, what := st.choose(x.reader, now)
	switch what {
	case taskChunk:
		x.turns++
		sh.turn = x.turns
		return x.chunk(st, sh, now)
	case taskEnd:
		if !st.seek(sh, now) {
			x.end(st, sh)
		}
		return outAgain
	case taskCut:
		return x.cut(st, sh, now)
	default:
		x.settle(st, now)
		return outIdle
	}
}

// chunk reads on and appends what there is.
func (x *session) chunk(st *stream, sh *shipment, now time.Time) outcome {
	limit, ok := x.room(st, sh)
	if !ok {
		x.tellSize(st, now)
		return outFull
	}
	data, err := x.reader.Read(sh.Generation, limit)
	switch {
	case errors.Is(err, follow.ErrCut), errors.Is(err, follow.ErrStale):
		return x.cut(st, sh, now)
	case errors.Is(err, follow.ErrHole):
		return x.pass(st, sh)
	case errors.Is(err, follow.ErrHeld):
		st.wakeAt(now.Add(heldAgain))
		return outIdle
	case errors.Is(err, follow.ErrPending):
		return outAgain
	case err != nil && sh.Packed():
		x.log.Warn("an archive cannot be read on", "path", st.path, "error", err)
		sh.reason, sh.drained = err.Error(), true
		return outAgain
	case err != nil:
		return x.unreadable(st, err, now)
	case len(data) == 0:
		sh.drained = sh.Copy
		return outAgain
	}
	x.open(st, sh)
	f := x.shipped(st, data, sh.Position(), now)
	f.Generation, f.Sum = sh.number, crc32.Checksum(data, castagnoli())
	sh.sum = dtc.JoinSum(sh.sum, f.Sum, int64(len(data)))
	x.send(st, f)
	st.account()
	switch {
	case len(data) == dtc.MaxChunk:
		x.tellSize(st, now)
		return outBulk
	case len(data) == limit:
		return outBulk
	case len(st.chain.Generations) > 1, sh.Left() > 0: // there may be a hole behind what was read
		return outAgain
	}
	x.settle(st, now)
	return outIdle
}

// archiveWindow bounds the bytes on their way of an archive: what the monitor
// did not hear need not be decompressed again.
const archiveWindow = follow.ArchiveBehind - dtc.MaxChunk

// room returns how many bytes may be sent of sh, and false if it must wait.
func (x *session) room(st *stream, sh *shipment) (int, bool) {
	left, all := sh.Left(), x.inflight.Load()
	if left > dtc.MaxChunk && all >= bulkWindow {
		return 0, false
	}
	free := min(dtc.MaxWindow-st.inflight, dtc.MaxConnWindow-all, dtc.MaxChunk)
	if sh.Packed() {
		free = min(free, archiveWindow-max(sh.Position()-max(sh.acked, sh.Start), 0))
	}
	if free < min(left, minChunk) || free <= 0 {
		return 0, false
	}
	return int(free), true
}

// open declares sh to the monitor, if it does not know of it yet.
func (x *session) open(st *stream, sh *shipment) {
	if sh.number != 0 {
		return
	}
	x.openSought(st, sh)
	st.highest++
	sh.number, sh.acked, sh.durable, sh.sum = st.highest, sh.Start, sh.Start, 0
	x.send(st, dtc.Frame{Kind: dtc.FrameOpen, Generation: sh.number, Offset: sh.Start, Data: sh.Origin.Encode()})
}

// first begins a stream of which the monitor has nothing.
func (x *session) first(st *stream) error {
	if len(st.chain.Generations) == 0 {
		return nil
	}
	g := st.chain.Generations[0]
	if size := st.chain.FirstSize(); st.fromEnd && size > 0 && g.File != nil && g.Position() == 0 && !g.Ended {
		if err := x.reader.StartAt(g, size); err != nil {
			return fmt.Errorf("read %s: %w", st.path, err)
		}
	}
	if g == st.chain.Current() {
		// From now on what is rotated while nobody looks is not from before the first contact.
		x.open(st, st.shipment(g))
	}
	return nil
}

// end tells that sh is complete, or destroyed.
func (x *session) end(st *stream, sh *shipment) {
	var lost int64
	if sh.File == nil || sh.Copy {
		lost = sh.Left()
	}
	if sh.number == 0 && lost == 0 && len(sh.Losses) == 0 { // nothing was in it so far
		if sh.File != nil && !sh.Copy && !sh.idle {
			sh.sealed = true // somebody may write to it yet
			return
		}
		st.remove(sh)
		return
	}
	x.open(st, sh)
	if lost > 0 {
		x.send(st, dtc.Frame{
			Kind: dtc.FrameGap, Generation: sh.number, Offset: sh.Position(), End: sh.Seen,
			Text: clip(cmp.Or(sh.reason, "truncated or rewritten before it could be read") + ": " + sh.Origin.Path),
		})
		x.log.Warn("bytes of a followed file were destroyed before they could be read",
			"path", st.path, "alias", st.alias, "from", sh.Position(), "to", sh.Seen)
		sh.Mark = follow.Mark{Offset: sh.Seen}
		sh.acked = sh.Seen
		st.account()
	}
	x.send(st, dtc.Frame{Kind: dtc.FrameSeal, Generation: sh.number, End: sh.Position(), Sum: sh.sum})
	sh.sealed = true
	sh.over = sh.File == nil || sh.Copy
	sh.confirm = x.ping + 1
	x.needPing = true
}

// tellLost tells of the generations whose rest was not found.
func (x *session) tellLost(st *stream) {
	for _, l := range st.lost {
		x.send(st, dtc.Frame{Kind: dtc.FrameGap, Generation: l.number, Offset: l.from, End: dtc.Absent, Text: clip(l.reason)})
		x.log.Warn("the rest of a followed file was not found again",
			"path", st.path, "alias", st.alias, "from", l.from, "reason", l.reason)
	}
	st.lost = nil
}

// cut finds out how much is left of a generation whose content was truncated or
// rewritten: either it goes on from where it was cut, if the monitor's copy
// agrees with what is left, or it is over, and the file has a new one.
func (x *session) cut(st *stream, sh *shipment, now time.Time) outcome {
	if x.forsake(st, sh) {
		return outAgain
	}
	if sh.number != 0 && !sh.Copy && sh.File != nil && !st.refuted[sh.number] {
		stat, err := sh.File.Stat()
		if err != nil {
			return x.unreadable(st, err, now)
		}
		left := min(sh.Low, stat.Size)
		if left > sh.Start && left < sh.Position() {
			sh.Low = left
			x.ask(st, sh, left)
			return outAgain
		}
	}
	position := sh.Position()
	st.chain.Cut(x.reader, sh.Generation)
	x.log.Info("a followed file was truncated or rewritten",
		"path", st.path, "alias", st.alias, "position", position, "in_copy", sh.Left(), "found", sh.File != nil)
	return outAgain
}

// unreadable lets a stream wait whose file cannot be read: the disk may come
// back, and the others go on.
func (x *session) unreadable(st *stream, err error, now time.Time) outcome {
	x.log.Warn("a followed file cannot be read", "path", st.path, "alias", st.alias, "error", err)
	st.wakeAt(now.Add(time.Second))
	return outIdle
}

// settle does what is to be done when a stream has come to rest.
func (x *session) settle(st *stream, now time.Time) {
	for _, g := range st.chain.Generations {
		sh := st.shipment(g)
		st.askWriters(sh, now)
		if sh.sealed && sh.confirm > x.pong.Load() {
			st.wakeAt(now.Add(minPing)) // the answer wakes no stream
		}
		if x.releasable(st, sh, now) {
			st.remove(sh)
			st.wakeAt(now)
			break // the rest in the next turn
		}
	}
	st.account()
	x.tellSize(st, now)
}

// askWriters finds out whether anybody can still write to a file whose end was
// told: it may have lost its name since.
func (st *stream) askWriters(sh *shipment, now time.Time) {
	if !sh.sealed || sh.over || sh.idle || sh.File == nil || sh.Generation == st.chain.Current() {
		return
	}
	stat, err := sh.File.Stat()
	if err != nil || stat.Links > 0 {
		return
	}
	sh.idle = sh.File.Unwritten()
	if !sh.idle || stat.Size > sh.Position() {
		st.wakeAt(now.Add(time.Second))
	}
}

// yield reports whether a rotated file is let go though somebody may still write
// to it: where it could not make room for the next one as long as it is held. If
// it grows after all it is taken up again.
func (x *session) yield(st *stream, sh *shipment, now time.Time) bool {
	if !x.s.yields {
		return false
	}
	due := sh.grew.Add(min(quiet<<(2*sh.late+1), time.Minute))
	if now.Before(due) {
		st.wakeAt(due)
	}
	return !now.Before(due)
}

// releasable reports whether nothing of sh can be wanted any more.
func (x *session) releasable(st *stream, sh *shipment, now time.Time) bool {
	if sh.Generation == st.chain.Current() || !sh.sealed || sh.confirm > x.pong.Load() || len(sh.Losses) > 0 {
		return false
	}
	if sh.over {
		return sh.File == nil || sh.durable >= sh.Position()
	}
	if sh.durable < sh.Position() || !sh.idle && !x.yield(st, sh, now) {
		return false
	}
	stat, err := sh.File.Stat() // what was written before the question is there now
	return err == nil && stat.Size == sh.Position()
}

// tellSize tells the monitor how much there is, if that changed.
func (x *session) tellSize(st *stream, now time.Time) {
	f := dtc.Frame{Kind: dtc.FrameSize}
	for _, g := range st.chain.Generations {
		switch sh := st.shipment(g); {
		case sh.number != 0 && sh.number >= f.Generation:
			f.Generation, f.Offset, f.End = sh.number, g.Seen, 0
		case sh.number == 0: // none of it was sent yet
			f.End += max(g.Seen-g.Start, 0)
		}
	}
	if f.Generation == 0 || f.Generation == st.told.Generation && f.Offset == st.told.Offset && f.End == st.told.End {
		return
	}
	if due := st.toldAt.Add(sizeEvery); now.Before(due) {
		st.wakeAt(due)
		return
	}
	st.told, st.toldAt = f, now
	x.send(st, f)
}

// clip makes text fit a frame, and cuts no character.
func clip(text string) string {
	n := dtc.MaxText
	if len(text) <= n {
		return text
	}
	for n > dtc.MaxText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
