package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"
)

// MaxLine is how much of a line is shown: an endless one is cut there.
const MaxLine = 1 << 20

// Query says which lines of which copies are wanted.
type Query struct {
	Folders []string          // in this order; none: all, by name
	Wants   func(Target) bool // of those folders; nil: all
	Lines   int               // the last so many of each; negative: all
	Since   time.Time         // only what arrived then or later; zero: whenever
	Until   time.Time         // only what arrived before; zero: whenever. Not with Follow
	Match   *regexp.Regexp    // only lines that match; nil: all
	Marks   bool              // give marks too; not with Bytes or Match
	Follow  bool              // go on with what arrives
	Bytes   bool              // of one stream without Match: give the bytes as they are, not whole lines

	// Begin says where the streams begin, instead of Lines and Since; one that
	// it does not have, or has with another ID, begins at its start. Nil: Lines
	// and Since count.
	Begin map[Target]Place

	// Strict fails where not every byte from Begin on can be given, instead of
	// going on behind what is missing.
	Strict bool

	// Hold keeps a last line whose end has not come back for the next time.
	Hold bool

	// Idle is called when everything that is there has been given, and, while
	// there is much, after each turn; nil: it is not.
	Idle func() error

	// Failed is told of a copy that cannot be read; the others go on. Nil: the
	// error of Read says so at the end.
	Failed func(error)

	// Reached is called after bytes were given: all of the stream before the
	// place has been. Nil: it is not.
	Reached func(Place) error

	// Missed is told of bytes that were wanted and are not there any more, where
	// no mark says so: as a [MarkDropped] or [MarkRemoved]. Nil: it is not.
	Missed func(Target, Mark)
}

// Place is how far a stream has been read.
type Place struct {
	Target

	ID       string `json:"id,omitempty"`     // of the stream; empty: it has no side record
	Position int64  `json:"position"`         // logical
	Within   bool   `json:"within,omitempty"` // in a line that is too long, whose rest is not wanted
}

// Line is a line of a copy, or with Query.Bytes a piece of it, or a mark.
type Line struct {
	Target
	Text []byte // with its newline, if it has one; valid during the call
	Cut  bool   // the line goes on, but is too long to be shown
	Mark *Mark  // instead of Text
}

// Read gives the lines that a query wants, each stream's in their order, from
// the files under dir (home/logs): the service need not run. It never gives a
// part of a line between two parts of another but for [MaxLine], and where
// two bytes that stand side by side in the copy did not in the source: there a
// line ends. With Query.Follow it goes on until ctx is done or emit fails.
func Read(ctx context.Context, dir string, q Query, emit func(Line) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() // nothing was written
	r := &reading{root: root, query: q, emit: emit, buf: make([]byte, 64<<10), open: map[Target]*source{}, failed: map[Target]error{}, names: segmentNames{}}
	defer r.close()
	r.query.setDefaults()
	r.turns.limit = maxReaders
	if q.Follow {
		r.watch = newWatch(root)
		defer r.watch.close()
	}
	targets, err := r.list()
	if err != nil {
		return err
	}
	r.whole = !q.Bytes || q.Match != nil || len(targets) > 1
	if err := r.discover(ctx, targets, r.query.begin); err != nil {
		return err
	}
	if q.Follow {
		err = r.follow(ctx)
	} else {
		err = r.query.Idle()
	}
	if q.Failed != nil {
		return err
	}
	return errors.Join(append(slices.Collect(maps.Values(r.failed)), err)...)
}

func (q *Query) setDefaults() {
	if q.Wants == nil {
		q.Wants = func(Target) bool { return true }
	}
	if q.Idle == nil {
		q.Idle = func() error { return nil }
	}
	if q.Reached == nil {
		q.Reached = func(Place) error { return nil }
	}
	if q.Missed == nil {
		q.Missed = func(Target, Mark) {}
	}
	q.Marks = q.Marks && q.Match == nil && !q.Bytes
}

// begin sets a source to where the query begins, and to where it ends.
func (q *Query) begin(ctx context.Context, s *source) error {
	if q.Begin != nil {
		return cmp.Or(q.end(s), q.resume(s))
	}
	err := cmp.Or(q.end(s), q.back(ctx, s))
	if err != nil && ctx.Err() == nil {
		err = &readError{s.target, err}
	}
	return err
}

// end sets a source to where the query ends.
func (q *Query) end(s *source) error {
	if q.Until.IsZero() {
		return nil
	}
	limit, err := s.until(q.Until)
	s.limit = limit
	return err
}

// back sets a source to the first of the lines that Since and Lines say.
func (q *Query) back(ctx context.Context, s *source) error {
	floor := int64(0)
	if !q.Since.IsZero() {
		if err := s.since(q.Since); err != nil {
			return err
		}
		floor = s.at
	}
	switch {
	case q.Lines < 0 && q.Since.IsZero():
		s.all()
	case q.Lines == 0:
		s.at = s.stop
	case q.Lines > 0:
		s.at = s.stop
		var match func([]byte) bool
		if q.Match != nil {
			match = q.Match.Match
		}
		if err := s.last(ctx, q.Lines, match); err != nil {
			return err
		}
		s.at = max(s.at, floor)
	}
	return nil
}

// resume sets a source to where the query says that it goes on.
func (q *Query) resume(s *source) error {
	place, known := q.Begin[s.target]
	if !known || place.ID != "" && place.ID != s.id() {
		place = Place{} // another stream of that name, or a new one
	}
	s.cut = place.Within
	s.given, s.told = place.Position, place.Position-1 // so that what is missing is told
	err := s.seek(place.Position)
	if q.Strict && err != nil {
		return fmt.Errorf("begin at byte %d of %s/%s: %w", place.Position, s.target.Folder, s.target.Alias, err)
	}
	_, waits := errors.AsType[*beyondError](err) // a power loss of the monitor took its end, which comes again
	_, gone := errors.AsType[*droppedError](err)
	if waits || gone {
		return nil
	}
	return err
}

// reading is one Read under way.
type reading struct {
	root   *os.Root
	query  Query
	emit   func(Line) error
	watch  *watch // nil: only what is there now
	open   map[Target]*source
	failed map[Target]error // those that cannot be read
	order  []*source
	whole  bool // only whole lines are given
	buf    []byte
	held   int // bytes of lines that are not complete
	turns  turns
	names  segmentNames
}

func (r *reading) close() {
	for _, s := range r.order {
		_ = s.close() // nothing was written
	}
}

// list returns the copies that are there and wanted, and has their folders
// watched.
func (r *reading) list() ([]Target, error) {
	folders := r.query.Folders
	if len(folders) == 0 {
		var err error
		if folders, err = listFolders(r.root); err != nil {
			return nil, err
		}
	}
	if r.watch != nil {
		for _, folder := range folders {
			r.watch.add(folder) // before it is read: what comes to be later is told
		}
	}
	if len(folders) == 0 {
		return nil, nil
	}
	targets, err := listTargets(r.root, folders)
	return slices.DeleteFunc(targets, func(t Target) bool { return !r.query.Wants(t) }), err
}

// discover opens the copies that are not open yet and gives what they have.
func (r *reading) discover(ctx context.Context, targets []Target, begin func(context.Context, *source) error) error {
	for _, t := range targets {
		if r.open[t] != nil || r.failed[t] != nil {
			continue
		}
		rd, err := r.openReader(t)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			s := &source{reader: rd, limit: rd.next, given: -1}
			r.open[t] = s
			r.order = append(r.order, s)
			r.use(s)
			if err = begin(ctx, s); err == nil {
				err = cmp.Or(r.query.Reached(s.reached()), r.drain(ctx, s))
			}
			if err == nil {
				err = r.drained(s)
			}
		} else {
			err = &readError{t, err}
		}
		if err := r.failing(t, err); err != nil {
			return err
		}
	}
	return nil
}

// openReader opens a copy. Where that would be more files than the system
// allows, others are closed for it.
func (r *reading) openReader(t Target) (*reader, error) {
	rd, err := openReader(r.root, t, r.names)
	if err == nil || r.watch == nil || !noRoom(err) {
		return rd, err
	}
	if err := r.shrink(); err != nil {
		return nil, err
	}
	return openReader(r.root, t, r.names)
}

// shrink closes half of the open copies.
func (r *reading) shrink() error {
	r.turns.limit = max(r.turns.open.Len()/2, minReaders)
	return r.parkSome()
}

// drained ends the first look at a source.
func (r *reading) drained(s *source) error {
	r.tellAllDropped(s)
	if r.watch != nil {
		return r.parkSome()
	}
	r.unuse(s)
	return errors.Join(r.finish(s), s.close())
}

// drain gives what a source had when it was opened.
func (r *reading) drain(ctx context.Context, s *source) error {
	for s.at < s.stop || s.next < s.limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		if more, err := r.step(s); err != nil || !more {
			return err
		}
	}
	return nil
}

// step gives the next bytes of a source; no more when there are none at this
// moment.
func (r *reading) step(s *source) (more bool, err error) {
	buf := r.buf
	if r.watch == nil && s.at >= s.stop {
		buf = buf[:min(int64(len(buf)), max(s.limit-s.next, 0))]
	}
	n, base, isOwn, err := s.step(buf)
	if err != nil && noRoom(err) && r.watch != nil && r.turns.open.Len() > minReaders {
		if err := r.shrink(); err != nil {
			return false, err
		}
		n, base, isOwn, err = s.step(buf)
	}
	if n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, &readError{s.target, err}
	}
	if err := r.cross(s, base, own(isOwn)); err != nil {
		return false, err
	}
	if err := r.feedBetween(s, buf[:n], base); err != nil {
		return false, err
	}
	s.took(n, base, own(isOwn))
	if !r.query.Bytes && own(isOwn) == streams && s.zeros >= min(int64(n), minZeros) {
		r.skipHole(s, int64(n))
	}
	return true, r.query.Reached(s.reached())
}

// skipHole passes over the rest of a hole whose first n bytes were read.
func (r *reading) skipHole(s *source, n int64) {
	f, at, left := s.place()
	if r.watch == nil && s.at >= s.stop {
		left = min(left, s.limit-s.next)
	}
	if left = s.untilMark(left); left <= 0 {
		return
	}
	from := max(at-min(n, s.zeros), 0)
	data := dataFrom(f, from, at+left)
	s.sparse += min(data, at) - from
	if data <= at {
		return
	}
	s.skip(data - at)
	s.zeros += data - at
	s.sparse += data - at
	s.given += data - at
	s.told = s.given - 1
}
