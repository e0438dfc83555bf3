package logs

import (
	"errors"
	"io/fs"
)

// mend looks again at a stream whose side record could not be used, when an
// agent comes for it: its disk may be back, somebody may have put the record
// right, or have moved it away with the copy. The stream's mutex is held.
func (st *stream) mend(peer string) {
	if st.damage == nil {
		return
	}
	h, err := readHead(st.root, st.folder, st.alias)
	there := true
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errUnfinished):
		h, there = &headerEntry{peer: peer}, false
	case err != nil:
		st.damage = err
		return
	case fold(h.alias) != fold(st.alias), st.peer != "" && st.peer != h.peer:
		return
	}
	st.damage, st.made = nil, there
	if st.peer == "" {
		st.peer, st.id = h.peer, h.id
		st.store.add(st)
	}
	if !there {
		st.store.log.Info("side record that could not be used is gone: its stream begins anew", "copy", st.dataPath())
		return
	}
	// What is wrong behind the head is found when it is loaded.
	if _, err := st.open(); errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
		st.damage = err
		return
	}
	st.store.log.Info("side record can be used again", "copy", st.dataPath())
}
