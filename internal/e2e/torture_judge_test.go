//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"dtc"
)

// fresh returns the bytes of the copy from the last checkpoint on.
func (o *oracle) fresh() ([]byte, error) {
	f, err := os.Open(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		if o.done > 0 {
			return nil, fmt.Errorf("%s: the copy is gone", o.alias)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() < o.done {
		err = fmt.Errorf("%s: the copy had %d bytes, and has %d", o.alias, o.done, info.Size())
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size()-o.done)
	_, err = io.ReadFull(io.NewSectionReader(f, o.done, int64(len(b))), b)
	return b, err
}

// peek returns how many bytes are missing in the copy now.
func (o *oracle) peek() (due int64, err error) {
	got, err := o.fresh()
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.read(got); err != nil {
		return 0, err
	}
	defer o.rollBack()
	return o.due(), nil
}

// verdict is what a checkpoint says of one stream.
type verdict struct {
	length     int64
	waits      error // what may still come right
	wrong      error // what cannot
	told, deaf int64 // bytes lost that were told, and that nobody could have seen
	spared     int
	losses     []loss
	weighed    []weight
	events     []logEvent
}

// weight says up to where what is missing of a content was judged.
type weight struct {
	of *content
	to int64
}

// loss is a range of a content that is not in the copy.
type loss struct{ from, to int64 }

// judge compares the copy, and what is told of it, with the truth.
func (o *oracle) judge(events []logEvent) verdict {
	got, err := o.fresh()
	if err != nil {
		return verdict{wrong: err}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	v := verdict{length: o.done + int64(len(got))}
	if v.wrong = o.read(got); v.wrong != nil {
		return v
	}
	defer o.rollBack()
	if n := o.due(); n > 0 {
		v.waits = fmt.Errorf("%s: %d bytes that are there are not in the copy\n%s", o.alias, n, o.describe())
		return v
	}
	v.waits = o.weigh(&v, events)
	return v
}

// accept ends a checkpoint.
func (o *oracle) accept(v verdict) error {
	got, err := o.fresh()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.read(got); err != nil {
		return err
	}
	o.missing += v.told
	o.unseen += v.deaf
	o.spared += v.spared
	o.losses = append(o.losses, v.losses...)
	for _, w := range v.weighed {
		w.of.weighed = w.to
	}
	o.settle(o.done + int64(len(got)))
	return nil
}

// weigh checks that all that is missing is told, where anybody could know it,
// and that nothing else is.
func (o *oracle) weigh(v *verdict, events []logEvent) error {
	var gaps []logEvent
	for _, e := range events {
		if e.Alias != o.alias {
			continue
		}
		switch e.State {
		case "gap":
			gaps = append(gaps, e)
		case "rewound": // the source lost its end, whatever was there
			gaps = append(gaps, logEvent{Alias: e.Alias, From: e.To, State: e.State, at: *e.From})
		case "corrupt", "changed":
			return fmt.Errorf("%s: nobody touched the copy, and it is told: %s", o.alias, e)
		}
	}
	for _, c := range o.contents {
		if err := o.admit(c, gaps); err != nil {
			return err
		}
		from, to := o.lost(c)
		if from == to {
			continue
		}
		read := int64(0) // of bytes that its successor has too it may be told that they were lost
		if c.seen && !o.shared(c, c.pos) {
			read = c.pos
		}
		v.losses = append(v.losses, loss{read, to})
		v.weighed = append(v.weighed, weight{c, to})
		if from = max(from, c.weighed); from >= to {
			continue
		}
		known := covered(c, from, to, gaps)
		v.told += known - from
		if known < to {
			if err := o.excuse(c, known, to); err != nil {
				return err
			}
			v.deaf += to - known
		}
	}
	for _, e := range gaps {
		if e.State == "rewound" {
			continue
		}
		if err := o.justify(e, v); err != nil {
			return err
		}
	}
	return nil
}

// shared reports whether a successor of c begins with its first n bytes too: those
// in the copy may be the successor's.
func (o *oracle) shared(c *content, n int64) bool {
	return slices.ContainsFunc(o.contents, func(d *content) bool { return d != c && d.common(c) >= n })
}

// admit fails if c was entered behind its beginning, and no event says that its
// file was taken for one that lost its end there.
func (o *oracle) admit(c *content, events []logEvent) error {
	if !o.unlike(c) || c.first < o.done {
		return nil
	}
	for _, e := range events {
		if e.State == "rewound" && c.entered-alike <= e.at && e.at <= c.entered {
			return nil
		}
	}
	return fmt.Errorf("%s: content %d is in the copy from its byte %d on, and nobody says that the source went back to that\n%s", o.alias, c.number, c.entered, o.describe())
}

// covered returns up to where the loss of [from, to) of c is told.
func covered(c *content, from, to int64, gaps []logEvent) int64 {
	for _, e := range gaps { // without an end it says that all the rest may be missing
		if e.To == nil && (e.From == nil || !c.seen || *e.From >= c.pos && *e.From <= from) {
			return to
		}
	}
	for more := true; more && from < to; {
		more = false
		for _, e := range gaps {
			if e.To != nil && *e.From <= from && *e.To > from {
				from, more = min(*e.To, to), true
			}
		}
	}
	return from
}

// excuse says why it is an error that nobody tells that [from, to) of c is lost;
// nil if nobody could know.
func (o *oracle) excuse(c *content, from, to int64) error {
	gone := c.gone()
	if o.lives.same(gone) {
		if size := c.looked(gone, o.lives.ran); size > from {
			return fmt.Errorf("%s: bytes [%d, %d) of content %d stood there for %s before they were destroyed, the agent ran all the time, and nobody tells of them\n%s",
				o.alias, from, min(size, to), c.number, sight, o.describe())
		}
		return nil
	}
	if from > 0 && from == c.cloned { // it came between the copying and the truncation
		return nil
	}
	if o.lives.away(gone) && c.seen && !c.rotated && from == c.pos && c.last <= o.lengthAt(gone) {
		return fmt.Errorf("%s: bytes [%d, %d) of content %d were destroyed while the agent was away, of which the monitor has the beginning, and nobody tells of them\n%s",
			o.alias, from, to, c.number, o.describe())
	}
	return nil
}

// watch notes how long the copy is, until the channel is closed.
func (o *oracle) watch(stop <-chan struct{}) {
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-stop:
			tick.Stop()
			return
		case <-tick.C:
		}
		if info, err := os.Stat(o.path); err == nil {
			o.mu.Lock()
			o.lengths = append(o.lengths, stamp{info.Size(), time.Now()})
			o.mu.Unlock()
		}
	}
}

// lengthAt returns how long the copy was at a time at least.
func (o *oracle) lengthAt(t time.Time) int64 {
	i, _ := slices.BinarySearchFunc(o.lengths, t, func(s stamp, t time.Time) int { return s.at.Compare(t) })
	if i == 0 {
		return o.done
	}
	return o.lengths[i-1].size
}

// alikeCut reports whether what was in a file with so many bytes begins as what was
// in it next does: as long as nothing is read, that looks as if it had been cut.
func (o *oracle) alikeCut(size int64) bool {
	return slices.ContainsFunc(o.contents, func(c *content) bool {
		return c.parent != nil && size <= int64(len(c.parent.data)) && commonPrefix(c.data, c.parent.data) >= dtc.HeadSize
	})
}

// justify checks that something is missing where a gap says so.
func (o *oracle) justify(e logEvent, v *verdict) error {
	all := slices.Concat(o.losses, v.losses)
	if e.To != nil && strings.HasPrefix(e.Reason, "cut, and written on") {
		// Where the file grew again before it was looked at, an upper bound is told.
		if slices.ContainsFunc(all, func(l loss) bool { return l.from < *e.To && *e.From < l.to }) || o.alikeCut(*e.To) {
			return nil
		}
	}
	if e.To != nil {
		if !slices.ContainsFunc(all, func(l loss) bool { return l.from <= *e.From && *e.To <= l.to }) {
			return fmt.Errorf("%s: nothing is missing there, and it is told: %s\n%s", o.alias, e, o.describe())
		}
		return nil
	}
	at := e.From
	if at == nil || slices.ContainsFunc(all, func(l loss) bool { return l.from == *at }) {
		return nil
	}
	v.spared++
	if slices.Contains(o.ends, *at) || slices.ContainsFunc(o.contents, func(c *content) bool { return slices.Contains(o.entries(c), *at) }) {
		return nil
	}
	return fmt.Errorf("%s: no content ends there in the copy, and it is told: %s\n%s", o.alias, e, o.describe())
}
