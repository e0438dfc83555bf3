package events

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"dtc"
)

// Filter chooses events.
type Filter struct {
	Since time.Time                       // events of before are left out; zero: none is
	Last  int                             // only so many of the latest on record; 0: all
	Match func(host, address string) bool // whose; nil: everybody's
	Event func(e *dtc.Event) bool         // which of theirs; nil: all
	Bad   func(path string, lines int)    // told of lines that are no events, once a file; may be nil

	// Tail has process logs read from near Since on, not from the day's beginning.
	// What was written while the clock was ahead of its time is left out then.
	Tail bool
}

func (f *Filter) wants(e *dtc.Event) bool {
	return !e.Time.Before(f.Since) && (f.Match == nil || f.Match(e.Host, e.Address)) && (f.Event == nil || f.Event(e))
}

// from is the first day whose files can hold what the filter wants: one earlier
// than that of Since, for the monitor may have been in another zone then.
func (f *Filter) from() string {
	if f.Since.IsZero() {
		return ""
	}
	return f.Since.AddDate(0, 0, -1).Format(dateLayout)
}

// Read gives the events on record under dir (the home's logs/) to each, the
// oldest first, until there are no more, each fails or ctx is done.
func Read(ctx context.Context, dir string, filter Filter, each func(dtc.Event) error) error {
	files, err := listAll(dir, filter.from())
	if err != nil {
		return err
	}
	cursors := make([]*cursor, len(files))
	for i, f := range files {
		cursors[i] = &cursor{path: f.path(dir), date: f.date}
		if filter.Tail && f.ofProcesses() {
			if err := cursors[i].skipBefore(filter.Since); err != nil {
				return err
			}
		}
	}
	return read(ctx, cursors, filter, each)
}

// read reads on from cursors that stand in the order of their dates.
func read(ctx context.Context, cursors []*cursor, filter Filter, each func(dtc.Event) error) error {
	defer func() {
		for _, c := range cursors {
			c.report(filter.Bad)
		}
	}()
	days := slices.Collect(chunkByDate(cursors))
	if filter.Last > 0 {
		return readLast(ctx, days, filter, each)
	}
	for _, day := range days {
		if err := merge(ctx, day, &filter, each); err != nil {
			return err
		}
	}
	return nil
}

// readLast reads the days from the latest back until it has enough.
func readLast(ctx context.Context, days [][]*cursor, filter Filter, each func(dtc.Event) error) error {
	var last []dtc.Event
	for _, day := range slices.Backward(days) {
		var some []dtc.Event
		err := merge(ctx, day, &filter, func(e dtc.Event) error {
			if some = append(some, e); len(some) > 2*filter.Last {
				some = slices.Delete(some, 0, len(some)-filter.Last)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if last = append(some, last...); len(last) >= filter.Last {
			break
		}
	}
	for _, e := range last[max(0, len(last)-filter.Last):] {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

func chunkByDate(cursors []*cursor) func(yield func([]*cursor) bool) {
	return func(yield func([]*cursor) bool) {
		for len(cursors) > 0 {
			n := 1
			for n < len(cursors) && cursors[n].date == cursors[0].date {
				n++
			}
			if !yield(cursors[:n:n]) {
				return
			}
			cursors = cursors[n:]
		}
	}
}

// merge reads files of one day side by side and gives their events in the order
// of their times; events of one file stay in the order of the file.
func merge(ctx context.Context, day []*cursor, filter *Filter, each func(dtc.Event) error) error {
	heads := make(byTime, 0, len(day))
	for _, c := range day {
		if err := heads.refill(c); err != nil {
			return err
		}
	}
	heap.Init(&heads)
	for len(heads) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := heads[0]
		if filter.wants(first.event) {
			if err := each(*first.event); err != nil {
				return err
			}
		}
		e, err := first.from.next()
		switch {
		case err != nil:
			return err
		case e == nil:
			heap.Pop(&heads)
		default:
			heads[0].event = e
			heap.Fix(&heads, 0)
		}
	}
	return nil
}

// head is the next event of a file.
type head struct {
	event *dtc.Event
	from  *cursor
}

type byTime []head

func (h *byTime) refill(c *cursor) error {
	e, err := c.next()
	if e != nil {
		*h = append(*h, head{e, c})
	}
	return err
}

func (h byTime) Len() int { return len(h) }

func (h byTime) Less(i, j int) bool {
	return cmp.Or(h[i].event.Time.Compare(h[j].event.Time), cmp.Compare(h[i].from.path, h[j].from.path)) < 0
}

func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *byTime) Push(x any) { *h = append(*h, x.(head)) }

// Pop is heap.Interface's.
func (h *byTime) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// chunk is how much of a file is read at once. It is small, for the files of a
// whole fleet are read side by side.
const chunk = 16 << 10

// cursor reads one file, line by line, and can go on when the file has grown.
// The file is open only while a chunk is read.
type cursor struct {
	path string
	date string

	off  int64  // of the first byte that has not been read
	buf  []byte // read and not yet given; a part of mem
	mem  []byte
	bad  int  // lines that are no events
	skip bool // inside a line that is too long
}

// next returns the next event, nil at the end of the last whole line. A file
// that is gone has no lines.
func (c *cursor) next() (*dtc.Event, error) {
	for {
		line, ok, err := c.line()
		if !ok || err != nil {
			return nil, err
		}
		e, err := parseLine(line)
		if err == nil {
			return &e, nil
		}
		c.bad++
	}
}

// line returns the next whole line without its newline; it is valid until the
// next call.
func (c *cursor) line() ([]byte, bool, error) {
	for {
		if line, rest, ok := bytes.Cut(c.buf, []byte("\n")); ok {
			c.buf = rest
			if !c.skip {
				return line, true, nil
			}
			c.skip = false
			c.bad++
			continue
		}
		if len(c.buf) > maxLine {
			c.buf, c.skip = nil, true
		}
		n, err := c.fill()
		if n == 0 || err != nil {
			// Half a line may yet be cut off and another be written there.
			c.off -= int64(len(c.buf))
			c.buf, c.mem = nil, nil
			return nil, false, err
		}
	}
}

// fill reads one more chunk.
func (c *cursor) fill() (int, error) {
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	defer func() { _ = f.Close() }()
	held := len(c.buf)
	c.mem = slices.Grow(append(c.mem[:0], c.buf...), chunk)[:held+chunk]
	n, err := f.ReadAt(c.mem[held:], c.off)
	c.buf = c.mem[:held+n]
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read events: %w", err)
	}
	c.off += int64(n)
	return n, nil
}

// skipTo makes the first line that is not wholly before end the next one. The
// cursor has not been read.
func (c *cursor) skipTo(end int64) error {
	from := max(0, end-maxLine)
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer func() { _ = f.Close() }()
	tail := make([]byte, end-from)
	n, err := f.ReadAt(tail, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read events: %w", err)
	}
	c.off = from + int64(lastLineEnd(tail[:n]))
	return nil
}

// tailStep is how much of the end of a file is looked at first.
const tailStep = 64 << 10

// skipBefore passes over lines that are older than since, most of them, where
// they stand in the order of their times. The cursor has not been read.
func (c *cursor) skipBefore(since time.Time) error {
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for tail := int64(tailStep); tail < info.Size(); tail *= 4 {
		probe := cursor{path: c.path, off: info.Size() - tail}
		if _, _, err := probe.line(); err != nil { // of which mostly half is missing
			return err
		}
		from := probe.off - int64(len(probe.buf))
		e, err := probe.next()
		if err != nil {
			return err
		}
		if e != nil && e.Time.Before(since) {
			c.off = from
			return nil
		}
	}
	return nil
}

func (c *cursor) report(bad func(string, int)) {
	if c.bad > 0 && bad != nil {
		bad(c.path, c.bad)
	}
	c.bad = 0
}
