package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dtc/internal/atomicfile"
)

// Bounds of what waits for one receiver. Beyond, the oldest are given up on: a
// tenth at a time, for each time is an event.
const (
	maxWaiting      = 10_000
	maxWaitingBytes = 64 << 20
	maxMemory       = 1000 // of these, that could not be written to the disk
	maxMemoryBytes  = 8 << 20
)

// queue is the notices that wait for one receiver, in order, on the disk. Its
// methods may be called by any number of goroutines.
type queue struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	segments []*segment // oldest first
	file     *os.File   // of the last segment; nil: the next write begins a new one
	waiting  []slot     // oldest first
	bytes    int64      // of these
	memory   int        // how many of these, the last ones, are in memory only
	last     uint64     // the newest notice there was
	done     uint64     // up to here nothing is left to do
	marked   uint64     // up to here that stands in the files
	unsynced bool       // a mark is not known to be durable
	fault    error      // why the disk is not used; nil if it is
}

// openQueue opens the queue in a folder, which it makes. What it held before
// stays where it is; the next write begins a new file.
func openQueue(dir string, log *slog.Logger) (*queue, error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("open the queue of notices: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the queue of notices: %w", err)
	}
	q := &queue{dir: dir, log: log}
	for _, entry := range entries { // sorted by name
		if n := segmentNumber(entry.Name()); n > 0 && entry.Type().IsRegular() {
			q.index(n)
		} else {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // a temporary file of a run that was killed
		}
	}
	q.marked = q.done
	q.sort()
	for len(q.waiting) > 0 && q.waiting[0].seq <= q.done {
		q.forget(0)
	}
	return q, nil
}

// index reads what stands in one file.
func (q *queue) index(number int) {
	path := filepath.Join(q.dir, segmentName(number))
	s := &segment{number: number}
	bad, err := readSegment(path, func(off int64, p parsedLine) {
		q.done = max(q.done, p.done)
		if p.slot == nil {
			return
		}
		p.slot.number, p.slot.off = number, off
		p.slot.about(p.record)
		q.waiting = append(q.waiting, *p.slot)
		q.last, s.last = max(q.last, p.slot.seq), max(s.last, p.slot.seq)
	})
	switch {
	case err != nil:
		q.log.Error("a queue of notices cannot be read whole: some may be lost", "file", path, "error", err)
	case bad > 0:
		q.log.Error("a queue of notices has damaged lines, which are passed over", "file", path, "lines", bad)
	}
	if info, err := os.Stat(path); err == nil {
		s.size = info.Size()
	}
	if s.file, err = os.Open(path); err != nil {
		s.file = nil
	}
	q.segments = append(q.segments, s)
	q.last = max(q.last, q.done)
}

// since returns the notices in the files that come after one, those that are
// done too.
func (q *queue) since(seq uint64) []*record {
	q.mu.Lock()
	defer q.mu.Unlock()
	var records []*record
	for _, s := range q.segments {
		if s.last <= seq {
			continue
		}
		path := filepath.Join(q.dir, segmentName(s.number))
		_, err := readSegment(path, func(_ int64, p parsedLine) {
			r := &record{}
			if p.slot != nil && p.slot.seq > seq && json.Unmarshal(p.record, r) == nil {
				records = append(records, r)
			}
		})
		if err != nil {
			q.log.Error("read a queue of notices", "file", path, "error", err)
		}
	}
	slices.SortStableFunc(records, func(a, b *record) int { return cmp.Compare(a.Seq, b.Seq) })
	return records
}

// append takes a notice: when it returns, the notice is on the disk, or if that
// cannot be, in memory.
func (q *queue) append(r *record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := slot{seq: r.Seq, id: r.ID, title: r.Title, made: r.Time, flags: flagsOf(r), record: r}
	q.flush()
	q.mend()
	if q.fault == nil {
		q.fault = q.store(&s)
	}
	if s.record != nil {
		q.memory++
		for i := range r.Events {
			s.size += r.Events[i].size()
		}
	}
	q.waiting = append(q.waiting, s)
	q.bytes += int64(s.size)
	q.last = max(q.last, s.seq)
}

// reminds says whether a reminder waits.
func (q *queue) reminds() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.waiting, func(s slot) bool { return s.flags == flagReminder })
}

// retry writes to the disk what could not be written before, or was removed.
func (q *queue) retry() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flush()
	q.mend()
}

func (q *queue) flush() {
	if q.fault == nil {
		return
	}
	q.fault = q.mark()
	for i := len(q.waiting) - q.memory; i < len(q.waiting) && q.fault == nil; i++ {
		before := q.waiting[i].size
		if q.fault = q.store(&q.waiting[i]); q.fault == nil {
			q.memory--
			q.bytes += int64(q.waiting[i].size - before)
		}
	}
}

// store writes the record of a slot to the disk.
func (q *queue) store(s *slot) error {
	data, err := json.Marshal(s.record)
	if err != nil {
		return fmt.Errorf("keep a notice: %w", err)
	}
	line := noticeLine(s, data)
	if err := q.write(line); err != nil {
		return err
	}
	at := q.segments[len(q.segments)-1]
	if err := q.sync(); err != nil {
		return err
	}
	s.number, s.off, s.size, s.record = at.number, at.size-int64(len(line)), len(line)-1, nil
	at.last = max(at.last, s.seq)
	return nil
}

// write appends a line to the last file, wholly or not at all.
func (q *queue) write(line []byte) error {
	if err := q.begin(); err != nil {
		return fmt.Errorf("keep a notice: %w", err)
	}
	if _, err := q.file.Write(line); err != nil {
		return q.spoiled(err)
	}
	q.segments[len(q.segments)-1].size += int64(len(line))
	q.unsynced = true
	return nil
}

// sync makes durable what has been written.
func (q *queue) sync() error {
	if !q.unsynced || q.file == nil {
		return nil
	}
	if err := q.file.Sync(); err != nil {
		return q.spoiled(err)
	}
	q.unsynced = false
	return nil
}

// spoiled gives the last file up after an error. What stands there of a line is
// cut off, or else is a line that is not right.
func (q *queue) spoiled(err error) error {
	err = errors.Join(err, q.file.Truncate(q.segments[len(q.segments)-1].size))
	q.file, q.unsynced = nil, false
	return fmt.Errorf("keep a notice: %w", err)
}

// begin opens a new file if there is none, or the last has grown.
func (q *queue) begin() error {
	if q.file != nil && q.segments[len(q.segments)-1].size < segmentBytes {
		return nil
	}
	if err := q.close(); err != nil {
		return err
	}
	number := 1
	if len(q.segments) > 0 {
		number = q.segments[len(q.segments)-1].number + 1
	}
	path := filepath.Join(q.dir, segmentName(number))
	var first []byte
	if q.done > 0 {
		first = doneLine(q.done)
	}
	if err := os.MkdirAll(q.dir, folderMode); err != nil { // somebody may have removed it
		return err
	}
	if err := atomicfile.Write(path, first, stateMode); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	q.file = f
	q.segments = append(q.segments, &segment{number: number, size: int64(len(first)), file: f})
	return nil
}

// close has nothing more written to the last file. It can be read still.
func (q *queue) close() error {
	err := q.sync()
	q.file = nil
	return err
}

// head returns the oldest notice that waits, nil if there is none. After an
// error that notice cannot be read any more.
func (q *queue) head() (s slot, r *record, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return slot{}, nil, nil
	}
	s = q.waiting[0]
	r, err = q.load(&s)
	return s, r, err
}

func (q *queue) load(s *slot) (*record, error) {
	if s.record != nil {
		return s.record, nil
	}
	data, err := q.stored(s)
	r := &record{}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read a notice from the queue: %w", err)
	}
	return r, nil
}

// failed says whether the disk cannot be used.
func (q *queue) failed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fault != nil
}

// finish notes that nothing is left to do for some notices.
func (q *queue) finish(done ...slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range done {
		i, ok := slices.BinarySearchFunc(q.waiting, d.seq, func(s slot, seq uint64) int { return cmp.Compare(s.seq, seq) })
		if ok {
			q.forget(i)
		}
	}
	q.done = q.last
	if len(q.waiting) > 0 {
		q.done = q.waiting[0].seq - 1
	}
	if q.fault == nil {
		q.fault = q.mark()
	}
}

// mark writes what is done into the files.
func (q *queue) mark() error {
	if q.done == q.marked {
		return nil
	}
	if err := q.write(doneLine(q.done)); err != nil {
		return err
	}
	q.marked = q.done
	return nil
}

// forget takes a notice out of those that wait.
func (q *queue) forget(i int) {
	s := q.waiting[i]
	q.bytes -= int64(s.size)
	if s.record != nil {
		q.memory--
	}
	if i > 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return
	}
	q.waiting[0] = slot{}
	if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
}

// settle makes the marks durable and removes the files that are not needed any
// more: those of which every notice is done, and known up to saved to whoever
// made it.
func (q *queue) settle(saved uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.sync(); err != nil {
		q.fault = err
		return
	}
	needed := min(saved, q.done)
	if n := len(q.segments); n > 0 && q.segments[n-1].size >= segmentBytes/4 && q.segments[n-1].last <= needed && len(q.waiting) == 0 {
		if err := q.close(); err == nil && q.fault == nil {
			q.fault = q.begin() // a small one that remembers what is done
		}
	}
	for i := 0; i < len(q.segments)-1; {
		if q.segments[i].last > needed {
			i++
			continue
		}
		q.segments[i].close()
		path := filepath.Join(q.dir, segmentName(q.segments[i].number))
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			q.log.Error("remove a file of a queue that is done", "error", err)
			return
		}
		q.segments = slices.Delete(q.segments, i, i+1)
	}
}

// excess returns the oldest notices that are too many: of all, or of those that
// are in memory only.
func (q *queue) excess() []slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > maxWaiting || q.bytes > maxWaitingBytes {
		return slices.Clone(q.waiting[:n/10+1])
	}
	if q.memory > maxMemory || q.memoryBytes() > maxMemoryBytes {
		some := q.waiting[len(q.waiting)-q.memory:]
		return slices.Clone(some[:len(some)/10+1])
	}
	return nil
}

func (q *queue) memoryBytes() int64 {
	var n int64
	for _, s := range q.waiting[len(q.waiting)-q.memory:] {
		n += int64(s.size)
	}
	return n
}

// until returns the notices that were made up to a time.
func (q *queue) until(then time.Time) []slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.waiting) && !q.waiting[n].made.After(then) {
		n++
	}
	return slices.Clone(q.waiting[:n])
}

// fill sets what a status says of the queue.
func (q *queue) fill(s *Status) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Waiting = len(q.waiting)
	if len(q.waiting) > 0 {
		s.Oldest = q.waiting[0].made
	}
	if q.fault != nil && s.Error == "" {
		s.Error = q.fault.Error()
	}
}

// release closes the files. The queue may go on being used.
func (q *queue) release() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.close()
	for _, s := range q.segments {
		s.close()
	}
	return err
}
