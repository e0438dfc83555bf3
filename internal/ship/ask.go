package ship

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"dtc"
	"dtc/internal/follow"
)

// question is what this side asked the monitor: whether its copy begins with the
// bytes of a file.
type question struct {
	start, end int64
	file       *follow.File
	own        bool // the file is the question's own
	yes, no    func(id uint64) error
}

// close lets the file of a question go that was not answered.
func (q *question) close() {
	if q.own {
		_ = q.file.Close()
	}
}

// ask asks for the hash of the copy of sh up to end; the caller holds st's
// lock.
func (x *session) ask(st *stream, sh *shipment, end int64) {
	x.asked++
	sh.asking = x.asked
	x.questions[x.asked] = &question{
		start: sh.Start, end: end, file: sh.File,
		yes: func(id uint64) error { return x.rewind(st, sh, id, end) },
		no:  func(id uint64) error { return x.refute(st, sh, id) },
	}
	x.send(st, dtc.Frame{Kind: dtc.FrameAsk, ID: x.asked, Generation: sh.number, Offset: sh.Start, End: end})
}

// answered compares the monitor's hash with that of the source, beside the
// rounds.
func (x *session) answered(f *dtc.Frame) error {
	q := x.questions[f.ID]
	if q == nil {
		return nil
	}
	delete(x.questions, f.ID)
	if f.Text != "" || f.End != q.end || len(f.Data) == 0 {
		q.close()
		return q.no(f.ID)
	}
	x.jobs.Go(func() {
		sum, end, err := follow.Hash(q.file, q.start, q.end, x.ctx)
		equal := err == nil && end == q.end && bytes.Equal(sum, f.Data)
		q.close()
		decide := q.no
		if equal {
			decide = q.yes
		}
		id := f.ID
		x.deposit(message{apply: func() error { return decide(id) }})
	})
	return nil
}

// rewind ends a question: the source lost its end, and goes on from there.
func (x *session) rewind(st *stream, sh *shipment, id uint64, end int64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !x.asks(st, sh, id) {
		return nil
	}
	x.log.Info("a followed file lost its end", "path", st.path, "alias", st.alias, "from", sh.Position(), "to", end)
	x.send(st, dtc.Frame{
		Kind: dtc.FrameRewind, Generation: sh.number, Offset: end,
		Text: clip(fmt.Sprintf("%s lost its end: it had %d bytes, and %d are left", st.path, sh.Position(), end)),
	})
	sh.Shorten(end) // what of it was not read is lost
	x.reattach(st)  // what the monitor says next is in no doubt
	return nil
}

// refute ends a question: what is in the source now is something else.
func (x *session) refute(st *stream, sh *shipment, id uint64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !x.asks(st, sh, id) {
		return nil
	}
	if st.refuted == nil {
		st.refuted = map[uint64]bool{}
	}
	st.refuted[sh.number] = true
	x.reattach(st)
	return nil
}

// asks reports whether an answer about sh is still waited for, and ends that; the
// caller holds the stream's lock.
func (x *session) asks(st *stream, sh *shipment, id uint64) bool {
	if st.session != x || !st.granted || sh.asking != id || st.shipments[sh.Generation] != sh {
		return false
	}
	sh.asking = 0
	return true
}

// maxAskedOfUs is how many questions of the monitor wait at a time; each may have
// a file open.
const maxAskedOfUs = 256

// asksUs answers the monitor's question for the hash of a source, beside the
// rounds.
func (x *session) asksUs(st *stream, f *dtc.Frame) error {
	if x.askedOfUs.Load() >= maxAskedOfUs {
		return fmt.Errorf("%w: more than %d questions at a time", errProtocol, maxAskedOfUs)
	}
	st.mu.Lock()
	answer := dtc.Frame{
		Kind: dtc.FrameAnswer, Stream: f.Stream, Epoch: st.epoch, ID: f.ID,
		Generation: f.Generation, Offset: f.Offset, End: f.Offset,
	}
	var file, own *follow.File
	for _, sh := range st.shipments {
		if sh.number == f.Generation {
			file = sh.File
		}
	}
	if file == nil {
		own = st.reopen(f.Generation)
		file = own
	}
	st.mu.Unlock()
	if file == nil {
		answer.Text = "not known: the source of this generation is not there any more"
		x.push(answer)
		return nil
	}
	end := f.End
	x.askedOfUs.Add(1)
	x.jobs.Go(func() {
		defer x.askedOfUs.Add(-1)
		x.hashing <- struct{}{}
		sum, to, err := x.hash(file, answer.Offset, end)
		<-x.hashing
		if own != nil {
			_ = own.Close()
		}
		if err != nil {
			answer.Text = clip("not known: " + err.Error())
		} else {
			answer.Data, answer.End = sum, to
		}
		x.deposit(message{apply: func() error {
			x.push(answer)
			return nil
		}})
	})
	return nil
}

// maxHollowHash is the longest hole whose hash is kept: a verification asks for
// blocks of one length where the copy has one.
const maxHollowHash = 64 << 20

// hash returns the SHA-256 of a range of a file for the monitor, and up to where
// there was any. The place in x.hashing is the caller's. Of a hole that is not
// read, and the next one of that length costs nothing.
func (x *session) hash(file *follow.File, from, to int64) (sum []byte, end int64, err error) {
	n := to - from
	if n <= 0 || n > maxHollowHash || file.DataFrom(from, to) != to {
		return follow.Hash(file, from, to, x.ctx)
	}
	if x.hollow.n != n {
		h := sha256.New()
		zeros := make([]byte, 64<<10)
		for left := n; left > 0; left -= int64(len(zeros)) {
			_, _ = h.Write(zeros[:min(left, int64(len(zeros)))]) // it never fails
		}
		x.hollow.n, x.hollow.sum = n, h.Sum(nil)
	}
	return x.hollow.sum, to, nil
}

// hollowHash is the SHA-256 of n NULs.
type hollowHash struct {
	n   int64
	sum []byte
}
