package ship

import (
	"errors"
	"path/filepath"

	"dtc"
	"dtc/internal/follow"
)

// likeness is whether a generation of the monitor's begins with a file of the
// family.
type likeness uint8

const (
	likeAsked likeness = iota // the monitor was asked
	likeCopy
	likeOther
)

// likened says of what two a likeness is.
type likened struct {
	generation uint64
	file       follow.Identity // light
	size       int64
}

// errAsked is the error of a match that waits for an answer of the monitor.
var errAsked = errors.New("the monitor was asked whether a file is a copy of what it has")

// maxAlike bounds the questions of a session that are not answered.
const maxAlike = 16

// beginsWith reports whether the monitor has all of the member and more in its
// generation r, errAsked until that is known. What cannot be known is no copy.
func (m *matching) beginsWith(r *remote, mem *follow.Member) (bool, error) {
	size := mem.Stat.Size
	if m.x == nil || size <= 0 || size <= r.Start || !m.reader.MayBegin(mem.File, r.GenerationState) {
		return false, nil
	}
	key := likened{r.Generation, mem.ID.Light(), size}
	like, asked := m.st.alike[key]
	switch {
	case like == likeCopy:
		return true, nil
	case like == likeOther:
		return false, nil
	case asked || len(m.x.questions) >= maxAlike: // the rest after some answers
		return false, errAsked
	}
	f, err := m.st.chain.OpenMember(filepath.Dir(m.st.chain.FamilyPath()), mem)
	if err != nil {
		return false, err
	}
	m.x.askAlike(m.st, key, r.Start, f)
	return false, errAsked
}

// askAlike asks for the hash of the beginning of a generation, which is as long
// as f; the caller holds st's lock.
func (x *session) askAlike(st *stream, key likened, start int64, f *follow.File) {
	if st.alike == nil {
		st.alike = map[likened]likeness{}
	}
	st.alike[key] = likeAsked
	note := func(l likeness) func(uint64) error {
		return func(uint64) error {
			st.mu.Lock()
			defer st.mu.Unlock()
			if st.session == x && st.alike != nil {
				st.alike[key] = l
				x.enqueue(st)
			}
			return nil
		}
	}
	x.asked++
	x.questions[x.asked] = &question{start: start, end: key.size, file: f, own: true, yes: note(likeCopy), no: note(likeOther)}
	x.send(st, dtc.Frame{Kind: dtc.FrameAsk, ID: x.asked, Generation: key.generation, Offset: start, End: key.size})
}
