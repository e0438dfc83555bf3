package logs

import (
	"errors"
	"io/fs"

	"dtc"
)

// kept is what a side record said when its stream was let go, for the case
// that somebody removes it until the stream is loaded again.
type kept struct {
	records []byte // of its journal, without the marks of time
	durable slot
	whole   []byte // all of it, where it was gone already; nil else
}

// keepable is what is to be kept of a replica that is durable up to its end.
func (c *replica) keepable() *kept {
	k := &kept{durable: c.durable}
	m := c.model
	m.arrivals = nil
	for _, e := range m.compact(c.now().Unix()) {
		k.records = appendRecord(k.records, e)
	}
	return k
}

// keepRemoved is what is to be kept of a replica that is thrown away: nothing
// unless its side record was removed, which the disk does not know then.
func (c *replica) keepRemoved() *kept {
	now, err := statOf(c.side)
	if err != nil || now.links > 0 {
		return nil
	}
	b, err := readSide(c.side)
	if err != nil {
		return nil
	}
	return &kept{whole: b}
}

// image returns the side record.
func (k *kept) image() []byte {
	if k.whole != nil {
		return k.whole
	}
	return append(encodeSide(nil, k.durable), k.records...)
}

// load is load for a stream; where its side record was removed since it was
// let go, it is written anew before.
func (st *stream) load() (*replica, error) {
	c, err := load(st.place, st.trust)
	if !errors.Is(err, fs.ErrNotExist) || st.kept == nil {
		return c, err
	}
	if err := makeFolder(st.root, st.folder); err != nil {
		return nil, err
	}
	if err := createSide(&st.place, st.kept.image()); err != nil {
		return nil, err
	}
	if c, err = load(st.place, st.trust); err != nil {
		return nil, err
	}
	c.fresh = true
	c.touch()
	return c, c.commit(c.event(dtc.StateChanged, nil, nil, sideRemoved))
}

// removed tells whether the side record of a stream that was let go is gone.
func (st *stream) removed() bool {
	if st.c != nil || st.kept == nil || st.pause != "" {
		return false
	}
	_, err := st.root.Lstat(st.sidePath())
	return errors.Is(err, fs.ErrNotExist)
}
