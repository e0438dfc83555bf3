package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

const (
	// stallTime is how long the reading of one process may take before it
	// counts as stuck. A command line is read out of the memory of its process:
	// that can block for ever, on a lock or on a page of a dead file server.
	stallTime = 700 * time.Millisecond

	// maxStuck is how many processes may be stuck at a time. With more, nothing
	// that can block is read of any process: each holds a thread of ours.
	maxStuck = 5

	// maxNotes is how many notes an answer has at most.
	maxNotes = 20

	// partText is how many bytes of text a part may hold before it is handed
	// over, however few its items are: processes of any user may have command
	// lines of 128 KiB each, and would fill our memory.
	partText = 1 << 20
)

// target is a process that a reader is to read.
type target struct {
	in   *proc.Scanner // has entered it
	stat proc.Stat     // of it; Comm is valid until in is used

	// careful forbids what can block.
	careful bool
}

// reader reads processes one after the other.
type reader[T any] interface {
	// read passes what is known of the process to put, item by item.
	read(p *target, put func(T))

	// made is how many bytes of text its items have so far.
	made() int

	// notes are what the operator should know in the end.
	notes() []string
}

// sweep reads a list of processes with a deadline for each that does not
// depend on the kernel: the reading goes on in a goroutine that is left behind
// when it gets stuck, and another one takes over behind the stuck process.
type sweep[T any] struct {
	fs    proc.FS
	sel   *selector // nil: all processes
	stuck *stuckProcesses
	open  func() reader[T]
	stall time.Duration
	parts *partPool[T]
}

// run passes the items of all processes to deliver in parts, and says with the
// last what the operator should know. The part is valid during the call.
func (s *sweep[T]) run(ctx context.Context, pids []int, deliver func(part []T, last bool, notes []string) error) error {
	var notes []string
	for {
		w := newSweeper(s)
		s.stuck.sweepers.Go(func() { w.run(pids) })
		more := func(part []T) error { return deliver(part, false, nil) }
		rest, err := w.follow(ctx, more)
		if err != nil {
			return err
		}
		notes = append(notes, w.notes...)
		if rest < 0 {
			err := deliver(w.part, true, notes)
			s.parts.put(w.part)
			s.parts.put(<-w.free)
			return err
		}
		if len(notes) < maxNotes {
			notes = append(notes, unreadableNote(w.id.PID))
		}
		if err := more(w.part); err != nil {
			return err
		}
		pids = pids[rest:]
	}
}

func unreadableNote(pid int) string {
	return fmt.Sprintf("process %d does not let itself be read: what is shown of it is not all", pid)
}

// sweeper is one goroutine of a sweep.
type sweeper[T any] struct {
	*sweep[T]
	full chan []T      // parts that are full; closed when all is read, the last is in part then
	free chan []T      // memory for the next part
	quit chan struct{} // closed when nobody takes parts any more
	gone chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex    // guards what follows
	abandoned bool          // quit is closed; the goroutine changes nothing below any more
	marked    bool          // stuck counts the goroutine
	ended     bool          // the goroutine is past all that can block
	steps     uint64        // counts what was done, to see that something is
	part      []T           // read and not yet taken
	at        int           // index of the process being read
	id        dtc.ProcessID // its identity
	careful   bool          // it is being read so
	put       int           // items of it so far
	notes     []string
}

func newSweeper[T any](s *sweep[T]) *sweeper[T] {
	w := &sweeper[T]{
		sweep: s,
		full:  make(chan []T), free: make(chan []T, 1), quit: make(chan struct{}), gone: make(chan struct{}),
		part: s.parts.get(),
	}
	w.free <- s.parts.get()
	return w
}

func (w *sweeper[T]) run(pids []int) {
	defer close(w.gone)
	in, err := w.fs.Scan()
	if err == nil {
		w.readAll(&target{in: in}, pids)
		err = in.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	switch {
	case w.marked:
		w.stuck.remove(w.id, w.reader())
	case w.abandoned:
	default:
		if err != nil {
			w.notes = append(w.notes, err.Error())
		}
		close(w.full)
	}
}

func (w *sweeper[T]) readAll(p *target, pids []int) {
	r := w.open()
	add := w.add // one closure for all
	handed := 0  // bytes of text of earlier parts
	for i, pid := range pids {
		if !w.begin(i, dtc.ProcessID{PID: pid}, false) {
			return
		}
		if p.in.Enter(pid) != nil {
			continue // it has ended meanwhile
		}
		data, err := p.in.Read("stat")
		if err != nil || p.stat.Parse(data) != nil {
			continue
		}
		if s := w.sel; s != nil && !s.wantsProcess(&p.stat, p.in.Owner) {
			continue
		}
		id := dtc.ProcessID{PID: pid, Start: p.stat.StartTicks}
		careful, hopeless := w.stuck.look(id)
		if hopeless {
			w.note(unreadableNote(pid))
			continue
		}
		if !w.begin(i, id, careful) {
			return
		}
		p.careful = careful
		r.read(p, add)
		if made := r.made(); made-handed >= partText {
			w.handOver()
			handed = made
		}
	}
	w.note(r.notes()...)
}

// note keeps what the operator should know.
func (w *sweeper[T]) note(texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := maxNotes - len(w.notes); !w.abandoned && room > 0 {
		w.notes = append(w.notes, texts[:min(len(texts), room)]...)
	}
}

// begin says which process is being read from now on; false if none should be.
func (w *sweeper[T]) begin(i int, id dtc.ProcessID, careful bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return false
	}
	w.at, w.id, w.careful, w.put = i, id, careful, 0
	w.steps++
	return true
}

// add adds an item to the part, and hands the part over when it is full.
func (w *sweeper[T]) add(item T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return
	}
	w.part = append(w.part, item)
	w.put++
	w.steps++
	if len(w.part) == partItems {
		w.part = w.swap(w.part)
	}
}

// handOver hands the part over before it is full.
func (w *sweeper[T]) handOver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.abandoned && len(w.part) > 0 {
		w.part = w.swap(w.part)
	}
}

// swap hands part over and returns memory for the next. It gives up the lock
// meanwhile.
func (w *sweeper[T]) swap(part []T) []T {
	w.part = nil
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case w.full <- part:
	case <-w.quit:
		return nil
	}
	select {
	case next := <-w.free:
		return next
	case <-w.quit:
		return nil
	}
}

// follow delivers the parts that w fills. At the end it returns -1, and leaves
// the last part in w.part; if w got stuck, the index of the process to go on
// with, and leaves in w.part what was read until then.
func (w *sweeper[T]) follow(ctx context.Context, deliver func([]T) error) (rest int, err error) {
	tick := time.NewTicker(w.stall / 4)
	defer tick.Stop()
	var seen uint64
	since := time.Now()
	for {
		select {
		case part, ok := <-w.full:
			if !ok {
				return -1, nil
			}
			if err := deliver(part); err != nil {
				w.abandon()
				return 0, err
			}
			w.free <- part[:0]
			since = time.Now()
		case <-ctx.Done():
			w.abandon()
			return 0, ctx.Err()
		case now := <-tick.C:
			if steps := w.progress(); steps != seen {
				seen, since = steps, now
				continue
			}
			if now.Sub(since) < w.stall {
				continue
			}
			if rest, ok := w.leaveBehind(seen); ok {
				return rest, nil
			}
		}
	}
}

func (w *sweeper[T]) progress() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

// abandon lets the goroutine end, and waits for it unless it is stuck.
func (w *sweeper[T]) abandon() {
	w.mu.Lock()
	w.abandoned = true
	w.mu.Unlock()
	close(w.quit)
	patience := time.NewTimer(w.stall)
	defer patience.Stop()
	select {
	case <-w.gone:
		return
	case <-patience.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.mark()
	}
}

// mark counts the goroutine among the stuck ones, until it ends. w.mu is held.
func (w *sweeper[T]) mark() {
	w.marked = true
	w.stuck.add(w.id, w.reader())
}

// reader is what the goroutine counts as while it is stuck. w.mu is held.
func (w *sweeper[T]) reader() stuckReaders {
	if w.careful {
		return stuckReaders{careful: 1}
	}
	return stuckReaders{usual: 1}
}

// leaveBehind abandons the goroutine if it has done nothing since steps, and
// returns the index of the process to go on with: the same one, to read
// carefully what does not block, unless some of it was shown or that was tried.
func (w *sweeper[T]) leaveBehind(steps uint64) (rest int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.steps != steps {
		return 0, false
	}
	rest = w.at + 1
	if w.put == 0 && w.id.Start != 0 && !w.careful {
		rest = w.at
	}
	w.abandoned = true
	close(w.quit)
	w.mark()
	return rest, true
}

// partPool keeps the memory of parts from one answer to the next.
type partPool[T any] struct{ pool sync.Pool }

func (p *partPool[T]) get() []T {
	if part, ok := p.pool.Get().(*[]T); ok {
		return *part
	}
	return make([]T, 0, partItems)
}

// put takes back a part that nobody uses any more.
func (p *partPool[T]) put(part []T) {
	part = part[:cap(part)]
	clear(part) // so that it keeps no text
	part = part[:0]
	p.pool.Put(&part)
}

// stuckProcesses are the processes that a reading is blocked on.
type stuckProcesses struct {
	sweepers sync.WaitGroup // all goroutines, the stuck ones too

	mu      sync.Mutex // guards what follows
	readers map[dtc.ProcessID]stuckReaders
}

// stuckReaders count the goroutines that are blocked on one process. Each holds
// a thread of ours.
type stuckReaders struct{ usual, careful int }

// look says whether the process must be read with care, and whether even that
// is hopeless: it has blocked already.
func (s *stuckProcesses) look(id dtc.ProcessID) (careful, hopeless bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[id]
	return r.usual > 0 || len(s.readers) >= maxStuck, r.careful > 0
}

func (s *stuckProcesses) add(id dtc.ProcessID, n stuckReaders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == nil {
		s.readers = make(map[dtc.ProcessID]stuckReaders)
	}
	r := s.readers[id]
	s.readers[id] = stuckReaders{r.usual + n.usual, r.careful + n.careful}
}

func (s *stuckProcesses) remove(id dtc.ProcessID, n stuckReaders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[id]
	r = stuckReaders{r.usual - n.usual, r.careful - n.careful}
	if s.readers[id] = r; r == (stuckReaders{}) {
		delete(s.readers, id)
	}
}
