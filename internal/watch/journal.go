package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How the journal goes about its work.
const (
	journalPatience = time.Second           // that a sighting waits to be written before it is told
	journalDelay    = 50 * time.Millisecond // until what nobody waits for is written
	journalSync     = time.Second           // until what was written is made durable
	journalRetry    = 10 * time.Second      // until a journal that cannot be written is tried again

	// A file is written anew when it is so long, and so many times longer than
	// it was at first; at once when it is as many times that.
	journalLong  = 256 << 10
	journalTimes = 2
	journalMost  = 4
)

// journal keeps on disk what the watcher must know after a restart. A change is
// marked by whoever makes it, with Watcher.mu held; the journal's goroutine
// takes all that is marked, writes it in one go and ends it with a line that
// makes it count. So what belongs together comes to stand there together, a
// burst of changes costs few writes, and nobody who tells the end of a process
// waits for a disk for longer than journalPatience.
type journal struct {
	path  string
	log   *slog.Logger
	take  func(how) *batch
	do    func(func()) // calls where files may be made, removed and opened for writing
	retry time.Duration

	urgent chan struct{} // of capacity 1: somebody waits for what is marked
	later  chan struct{} // of capacity 1: something is marked
	synced chan struct{} // of capacity 1: something is written

	mu       sync.Mutex
	written  uint64        // all kept sightings up to this place are in the file; guarded by mu
	idle     bool          // there is nothing to wait for: the journal does not work; guarded by mu
	stalled  bool          // nor now: somebody has waited in vain since the last write; guarded by mu
	progress chan struct{} // closed when one of the two changes; guarded by mu
	file     *os.File      // nil: the journal cannot be written; guarded by mu
	number   uint64        // of file; guarded by mu

	// Only the goroutine that writes touches these.
	out       *lineWriter
	head      headRecord
	tried     uint64 // the number of the last file that was to be begun
	size      int64  // of the file
	compacted int64  // of the file when it was begun
	failed    bool   // which has been told

	alive *os.File // the file of the last sign of life, nil: not yet open; only beats touches it
}

// how says what is to be taken.
type how uint8

const (
	whatChanged how = iota
	everything
)

// newJournal returns the journal in a folder, which it makes.
func newJournal(path string, log *slog.Logger, take func(how) *batch) *journal {
	return &journal{
		path: path, log: log, take: take, do: func(f func()) { f() }, retry: journalRetry, idle: true,
		urgent: make(chan struct{}, 1), later: make(chan struct{}, 1), synced: make(chan struct{}, 1),
		progress: make(chan struct{}),
	}
}

// load reads what the former run left; nil if that is nothing. What cannot be
// read is told, and never more than that.
func (j *journal) load() *former {
	list, err := generations(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log.Warn("cannot list what was remembered of watched processes", "folder", j.path, "err", err)
	}
	if len(list) > 0 {
		j.tried = list[0]
	}
	for _, n := range list {
		f, err := readGeneration(filepath.Join(j.path, journalName(n)))
		if err != nil {
			j.log.Warn("cannot read what was remembered of watched processes", "err", err)
			continue
		}
		if f.faults > 0 {
			j.log.Warn("left out of what was remembered of watched processes",
				"file", journalName(n), "lines", f.faults, "first", f.fault)
		}
		return f
	}
	return nil
}

// begin writes all that there is to remember into a new file, and goes on with
// that.
func (j *journal) begin(head headRecord) {
	all := j.take(everything)
	j.head = head
	var file *os.File
	var size int64
	var err error
	j.do(func() {
		if err = os.MkdirAll(j.path, 0o700); err != nil {
			return
		}
		j.tried++
		file, size, err = createGeneration(filepath.Join(j.path, journalName(j.tried)), head, all)
	})
	if err != nil {
		j.fail(err, all.upTo)
		return
	}
	if j.failed {
		j.failed = false
		j.log.Info("what is known of watched processes is remembered on disk again", "folder", j.path)
	}
	j.out, j.size, j.compacted = newLineWriter(file), size, size
	j.mu.Lock()
	old := j.file
	j.file, j.number = file, j.tried
	j.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	j.reached(all.upTo, works)
	signal(j.synced)
}

// fail notes that the journal cannot be written: all goes on without it, and
// what has changed meanwhile is written when it can be.
func (j *journal) fail(err error, upTo uint64) {
	if !j.failed {
		j.failed = true
		j.log.Warn("cannot remember watched processes on disk: a restart of the agent will forget what is not told by then",
			"folder", j.path, "err", err)
	}
	j.mu.Lock()
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file = nil
	j.mu.Unlock()
	j.reached(upTo, rests)
}

// condition says whether the journal can be waited for.
type condition bool

const (
	works condition = true
	rests condition = false
)

// reached tells those who wait how far the journal is.
func (j *journal) reached(place uint64, c condition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.written, j.idle, j.stalled = place, c == rests, false
	close(j.progress)
	j.progress = make(chan struct{})
}

// wait waits until a kept sighting is in the file, but not for long.
func (j *journal) wait(ctx context.Context, place uint64) {
	var patience *time.Timer
	for {
		j.mu.Lock()
		done, progress := j.idle || j.stalled || j.written >= place, j.progress
		j.mu.Unlock()
		if done {
			return
		}
		if patience == nil {
			patience = time.NewTimer(journalPatience)
			defer patience.Stop()
		}
		select {
		case <-progress:
		case <-patience.C:
			j.mu.Lock()
			j.stalled = j.progress == progress // a disk that hangs is waited for once, not for each
			j.mu.Unlock()
			return
		case <-ctx.Done():
			return
		}
	}
}

// behind says whether a kept sighting is not in the file yet.
func (j *journal) behind(place uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.idle || j.written < place
}

// close ends the writing: nobody waits for it from now on.
func (j *journal) close() {
	j.mu.Lock()
	if j.file != nil {
		_ = j.file.Close() // each line was written; the kernel has them
		j.file = nil
	}
	written := j.written
	j.mu.Unlock()
	j.reached(written, rests)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// closeAlive ends the signs of life.
func (j *journal) closeAlive() {
	if j.alive != nil {
		_ = j.alive.Close()
		j.alive = nil
	}
}

// newHead begins the files of a run that begins now.
func newHead(boot string) headRecord {
	c := readClock()
	return headRecord{Version: journalVersion, Boot: text(boot), SinceBoot: int64(c.now), Wall: c.today.UnixNano()}
}

// writeAlive writes down that the agent lived at a moment.
func (j *journal) writeAlive(l lastAlive) error {
	if j.alive == nil {
		var file *os.File
		var err error
		j.do(func() { file, err = openRegular(filepath.Join(j.path, aliveName), os.O_WRONLY|os.O_CREATE) })
		if err != nil {
			return err
		}
		j.alive = file
	}
	// Of one length always, so that it is overwritten in one go.
	_, err := j.alive.WriteAt(fmt.Appendf(nil, "%-127s\n", l.json()), 0)
	return err
}
