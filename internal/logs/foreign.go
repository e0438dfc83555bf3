package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dtc"
)

// change is what somebody else did to a copy.
type change int

const (
	changeNone change = iota
	changeRemoved
	changeMoved
	changeReplaced
	changeSame // replaced by a file that holds the same at its end
	changeCut
	changeGrown
	changeEdited
	changeFound // a file stood there before the copy was made
)

// ready makes sure that the data file is there, that it is the one that its
// path leads to, and that it has the length that the writer gave it. What
// somebody else did to it is told, and the copy goes on behind what there is.
func (c *replica) ready() error {
	if c.data == nil {
		return c.create()
	}
	st, err := statOf(c.data)
	if err != nil {
		return err
	}
	switch {
	case st.links == 0:
		if err := c.checkSide(); err != nil {
			return err
		}
		return c.checkPath(changeRemoved)
	case st.size < c.size:
		return c.adoptSize(changeCut, st.size)
	case st.size > c.size:
		return c.adoptSize(changeGrown, st.size)
	}
	if now := c.now(); now.Sub(c.looked) >= pathCheck || now.Before(c.looked) {
		c.looked = now
		if err := c.checkSide(); err != nil {
			return err
		}
		return c.checkPath(changeMoved)
	}
	return nil
}

// checkPath looks whether the path of the copy leads to the open file. gone is
// what has happened if it leads nowhere.
func (c *replica) checkPath(gone change) error {
	if c.leadsPlainly(c.data, c.dataPath()) {
		return nil
	}
	there, err := c.root.Lstat(c.dataPath())
	if errors.Is(err, fs.ErrNotExist) {
		return c.restart(gone)
	}
	if err != nil {
		return err
	}
	open, err := c.data.Stat()
	if err != nil {
		return err
	}
	if os.SameFile(open, there) {
		return nil
	}
	f, err := openPlain(c.root, c.dataPath(), os.O_RDWR|os.O_APPEND)
	if err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return errors.Join(err, f.Close())
	}
	c.proveLast()
	err = c.retire(c.data)
	c.data = f
	return errors.Join(err, c.adoptFile(changeReplaced))
}

// restart goes on in a new file.
func (c *replica) restart(what change) error {
	if err := c.settle(); err != nil && what != changeRemoved {
		return err
	}
	c.proveLast()
	err := c.retire(c.data)
	c.data = nil
	if err := errors.Join(err, c.adoptNothing(what)); err != nil {
		return err
	}
	return c.create()
}

// adoptNothing takes note that there is no data file any more.
func (c *replica) adoptNothing(what change) error {
	c.suspect = 0
	c.unsure = false
	return c.anchor(0, c.changed(what, 0), &bootEntry{boot: c.place.boot})
}

// adoptFile goes on at the end of another data file.
func (c *replica) adoptFile(what change) error {
	key, st, err := keyOf(c.data)
	if err != nil {
		return err
	}
	c.suspect = 0
	c.unsure = false
	return c.anchor(st.size, c.changed(what, st.size), &bootEntry{boot: c.place.boot, file: key, kept: what == changeSame})
}

// adoptSize goes on at the end of a data file whose length somebody changed.
func (c *replica) adoptSize(what change, size int64) error {
	if err := c.settle(); err != nil {
		return err
	}
	c.suspect = 0 // nobody can tell any more whose bytes they are
	if err := c.confirm(); err != nil {
		return err
	}
	return c.anchor(size, c.changed(what, size))
}

// anchor starts a new extent at a place of the data file; the source's
// position stays. What lies before it proves nothing from now on.
func (c *replica) anchor(physical int64, entries ...entry) error {
	c.size = physical
	if g := c.receiving(); g != nil {
		entries = append(entries, g, &extentEntry{
			seq: c.last.seq + 1, epoch: c.epoch, base: c.length, physical: physical,
			generation: g.number, source: g.position, sum: g.sum, foreign: 1,
		})
	}
	return c.commit(entries...)
}

// create makes the data file, or takes the one that stands there.
func (c *replica) create() error {
	if err := makeFolder(c.root, c.folder); err != nil {
		return err
	}
	f, err := createPlain(c.root, c.dataPath(), os.O_RDWR|os.O_APPEND)
	found := errors.Is(err, fs.ErrExist)
	if found {
		f, err = openPlain(c.root, c.dataPath(), os.O_RDWR|os.O_APPEND)
	}
	if err != nil {
		return err
	}
	c.data, c.fresh, c.looked = f, true, c.now()
	key, st, err := keyOf(f)
	if err != nil {
		return err
	}
	if found && st.size > 0 {
		return c.adoptFile(changeFound)
	}
	c.size, c.unsure = 0, false
	return c.record(&bootEntry{boot: c.place.boot, file: key, kept: true})
}

// changed is the event that tells of a change.
func (c *replica) changed(what change, size int64) *eventEntry {
	var from *int64
	on := "it goes on there"
	if g := c.receiving(); g != nil {
		at := g.position
		from = &at
		on = fmt.Sprintf("it goes on at byte %d of the source", at)
	}
	words := ""
	switch what {
	case changeNone:
	case changeRemoved:
		words = fmt.Sprintf("somebody removed the copy, %d bytes; %s in a new file", c.size, on)
	case changeMoved:
		words = fmt.Sprintf("somebody moved the copy away, %d bytes; %s in a new file", c.size, on)
	case changeReplaced:
		words = fmt.Sprintf("somebody put another file of %d bytes in the place of the copy; %s at its end", size, on)
	case changeSame:
		words = fmt.Sprintf("somebody replaced the copy by a file with the same %d bytes at its end; %s", dtc.MarkerSize, on)
	case changeCut:
		words = fmt.Sprintf("somebody cut the copy from %d bytes to %d; %s", c.size, size, on)
	case changeGrown:
		words = fmt.Sprintf("somebody added %d bytes to the copy; %s behind them", size-c.size, on)
	case changeEdited:
		words = fmt.Sprintf("somebody changed the end of the copy, which has %d bytes now; %s behind them", size, on)
	case changeFound:
		words = fmt.Sprintf("a file of %d bytes stood in the place of the copy; %s at its end", size, on)
	}
	return c.event(dtc.StateChanged, from, nil, words)
}
