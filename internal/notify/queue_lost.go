package notify

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// sort puts what was found in the files in order: what was rescued stands
// behind what came after it.
func (q *queue) sort() {
	slices.SortStableFunc(q.waiting, func(a, b slot) int { return cmp.Compare(a.seq, b.seq) })
	q.waiting = slices.CompactFunc(q.waiting, func(a, b slot) bool { return a.seq == b.seq })
	q.bytes = 0
	for i := range q.waiting {
		q.bytes += int64(q.waiting[i].size)
	}
}

// stored returns the record of a slot that stands in a file.
func (q *queue) stored(s *slot) ([]byte, error) {
	i := slices.IndexFunc(q.segments, func(of *segment) bool { return of.number == s.number })
	if i >= 0 && q.segments[i].file != nil {
		return readSlot(q.segments[i].file, s)
	}
	f, err := os.Open(filepath.Join(q.dir, segmentName(s.number)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSlot(f, s)
}

// removed says whether somebody has removed a file that is open.
func (q *queue) removed(s *segment) bool {
	if s.file == nil {
		return false
	}
	is, err := os.Stat(filepath.Join(q.dir, segmentName(s.number)))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	was, err := s.file.Stat()
	return err == nil && !os.SameFile(is, was)
}

// mend writes what stood in files that somebody has removed to a new one: they
// can be read as long as they are open.
func (q *queue) mend() {
	lost := map[int]bool{}
	for _, s := range q.segments {
		if q.removed(s) {
			lost[s.number] = true
		}
	}
	if len(lost) == 0 {
		return
	}
	if lost[q.segments[len(q.segments)-1].number] {
		q.file, q.unsynced = nil, false
	}
	if err := q.rescue(lost); err != nil { // they stay open until it can be
		q.fault = err
		return
	}
	q.log.Warn("files of a queue of notices were removed, and are made anew", "folder", q.dir, "files", len(lost))
	q.segments = slices.DeleteFunc(q.segments, func(s *segment) bool {
		if lost[s.number] {
			s.close()
		}
		return lost[s.number]
	})
}

// rescue writes the notices that stand in some files to the last one.
func (q *queue) rescue(lost map[int]bool) error {
	if q.file == nil {
		if err := q.begin(); err != nil {
			return fmt.Errorf("keep the notices: %w", err)
		}
	}
	for i := range q.waiting {
		s := &q.waiting[i]
		if s.record != nil || !lost[s.number] {
			continue
		}
		data, err := q.stored(s)
		if err != nil { // whoever reads it next is told so
			q.log.Error("a notice is lost", "title", s.title, "error", err)
			continue
		}
		line := noticeLine(s, data)
		if err := q.write(line); err != nil {
			return err
		}
		at := q.segments[len(q.segments)-1]
		s.number, s.off = at.number, at.size-int64(len(line))
		at.last = max(at.last, s.seq)
	}
	return q.sync()
}
