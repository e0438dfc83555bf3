package status

import (
	"runtime"
	"sync"
	"time"

	"dtc"
)

// message is what a sweeper hands over: a part, or nil at its end.
type message[T any] struct {
	from *sweeper[T]
	part *part[T]
}

// sweeper is one goroutine of a sweep.
type sweeper[T any] struct {
	*round[T]
	target *target
	first  block         // to begin with; none if it is empty
	free   chan *part[T] // memory for the next part
	quit   chan struct{} // closed when nobody takes parts any more
	gone   chan struct{} // closed when the goroutine has ended

	// The goroutine's own.
	bytes   int       // of text in the part
	began   time.Time // to read, since it last waited
	hurried bool      // it has said that it hurries

	// Of the goroutine that delivers.
	seen  uint64    // steps, when it last looked
	since time.Time // that they are so many

	mu        sync.Mutex    // guards what follows
	abandoned bool          // quit is closed; the goroutine changes nothing below any more
	marked    bool          // stuck counts the goroutine
	ended     bool          // the goroutine is past all that can block
	resting   bool          // it reads no process: it begins, or waits for the one that delivers
	steps     uint64        // counts what was done, to see that something is
	part      *part[T]      // read and not yet handed over
	block     block         // being read
	at        int           // index of the process being read
	id        dtc.ProcessID // its identity
	careful   bool          // it is being read so
	put       int           // items of it so far
	said      []note
}

func newSweeper[T any](r *round[T], p *target, first block) *sweeper[T] {
	w := &sweeper[T]{
		round: r, target: p, first: first,
		free: make(chan *part[T], 1), quit: make(chan struct{}), gone: make(chan struct{}), resting: true,
	}
	p.text = w.text
	return w
}

func (w *sweeper[T]) run() {
	defer close(w.gone)
	w.readBlocks()
	w.parts.closeTarget(w.target)
	w.end()
	select {
	case w.full <- message[T]{from: w}:
	case <-w.quit:
	}
}

// end says that the goroutine is past all that can block.
func (w *sweeper[T]) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.resting = true, true
	if w.marked {
		w.stuck.remove(w.id, w.reader())
	}
}

// readBlocks reads blocks until there are no more.
func (w *sweeper[T]) readBlocks() {
	r := w.open()
	put := w.add // one closure for all
	handed := 0  // bytes of text of earlier parts
	for w.nextBlock() {
		for i := w.block.from; i < w.block.to; i++ {
			if !w.readProcess(r, i, put) {
				return
			}
			if made := r.made(); w.bytes+made-handed >= partText {
				w.handOver()
				handed = made
			}
		}
		w.endBlock()
		handed = r.made()
		// A goroutine that makes system calls for 10 ms without a look at the
		// scheduler has its processor taken away every 20 µs from then on, which
		// costs both a twentieth.
		runtime.Gosched()
	}
	w.note(noteOfReader, r.notes()...)
}

// nextBlock waits for memory, and only then takes a block: who has a block that
// is to be delivered must never wait for one behind it.
func (w *sweeper[T]) nextBlock() bool {
	b, given := w.first, w.first.to > 0
	w.first = block{}
	if !given && !w.more() || !w.rest() {
		return false
	}
	if !given {
		if b, given = w.take(); !given {
			return false
		}
	}
	w.began = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block = b
	return !w.abandoned
}

// readProcess reads the process at index i; false if none should be read any
// more.
func (w *sweeper[T]) readProcess(r reader[T], i int, put func(T)) bool {
	pid, ok := w.begin(i)
	if !ok {
		return false
	}
	p := w.target
	if p.in.Enter(pid) != nil {
		return true // it has ended meanwhile
	}
	data, err := p.in.Read("stat")
	if err != nil || p.stat.Parse(data) != nil {
		return true
	}
	if w.sel != nil && !w.sel.wantsProcess(&p.stat, p.owner) {
		return true
	}
	id := dtc.ProcessID{PID: pid, Start: p.stat.StartTicks}
	careful, hopeless := w.stuck.look(id)
	careful = careful || w.hurries()
	if hopeless {
		w.note(i, unreadableNote(pid))
		return true
	}
	if !w.identify(id, careful) {
		return false
	}
	p.careful = careful
	if w.sel == nil || w.sel.wantsNamed(p) {
		r.read(p, put)
	}
	return true
}

// hurries tells whether so much of the time has gone that what can block is not
// read any more. Many processes that each let themselves be waited for, though
// not for long, would make the whole answer too late.
func (w *sweeper[T]) hurries() bool {
	if time.Duration(w.spent.Load())+time.Since(w.began) <= w.bold {
		return false
	}
	if !w.hurried {
		w.hurried = true
		w.note(noteOfReader, hurriedNote)
	}
	return true
}

// note keeps what the operator should know.
func (w *sweeper[T]) note(at int, texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		if !w.abandoned && len(w.said) < maxNotes {
			w.said = append(w.said, note{at, text})
		}
	}
}

// begin says which process is being read from now on, and returns its pid; false
// if none should be read: the list is no longer ours then.
func (w *sweeper[T]) begin(i int) (pid int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return 0, false
	}
	w.at, w.id, w.careful, w.put, w.resting = i, dtc.ProcessID{PID: w.pids[i]}, false, 0, false
	w.steps++
	return w.id.PID, true
}

// identify says more of the process that is being read; false if it should not
// be.
func (w *sweeper[T]) identify(id dtc.ProcessID, careful bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return false
	}
	w.id, w.careful = id, careful
	w.steps++
	return true
}

// text makes a string in the memory of the part. It is as b says, also when
// nobody wants it any more.
func (w *sweeper[T]) text(b []byte) string {
	w.bytes += len(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.abandoned {
		return string(b)
	}
	return w.part.string(b)
}

// add adds an item to the part, and hands the part over when it is full.
func (w *sweeper[T]) add(item T) {
	w.mu.Lock()
	if w.abandoned {
		w.mu.Unlock()
		return
	}
	w.part.items = append(w.part.items, item)
	w.put++
	w.steps++
	full := len(w.part.items) == partItems
	w.mu.Unlock()
	if full {
		w.handOver()
	}
}

// handOver hands over the part in the midst of a block.
func (w *sweeper[T]) handOver() {
	if !w.send() || !w.rest() {
		return
	}
	w.began = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resting = false
	w.steps++
}

// endBlock hands over what is the last part of its block.
func (w *sweeper[T]) endBlock() {
	w.mu.Lock()
	if !w.abandoned {
		w.part.last = true
	}
	w.mu.Unlock()
	w.send()
}

// send passes the part to the one that delivers; false if nobody takes it.
func (w *sweeper[T]) send() bool {
	w.mu.Lock()
	if w.abandoned {
		w.mu.Unlock()
		return false
	}
	p := w.part
	w.part, w.resting = nil, true
	w.mu.Unlock()
	w.bytes = 0
	w.spent.Add(int64(time.Since(w.began)))
	p.block = w.block.number
	select {
	case w.full <- message[T]{w, p}:
		return true
	case <-w.quit:
		return false
	}
}

// rest waits for memory for the next part; false if there is none.
func (w *sweeper[T]) rest() bool {
	select {
	case p := <-w.free:
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.abandoned {
			w.part = p
		}
		return !w.abandoned
	case <-w.quit:
		return false
	}
}

// stalled tells whether the goroutine has done nothing for too long.
func (w *sweeper[T]) stalled(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.resting || w.steps != w.seen || w.since.IsZero() {
		w.seen, w.since = w.steps, now
		return false
	}
	return now.Sub(w.since) >= w.stall
}

// abandon has the goroutine end as soon as it can.
func (w *sweeper[T]) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abandoned = true
	close(w.quit)
}

// leaveBehind abandons the goroutine if it has done nothing since it was last
// looked at, and returns what is left of its block: from the same process on, to
// read carefully what does not block, unless some of it was shown or that was
// tried.
func (w *sweeper[T]) leaveBehind() (rest block, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.steps != w.seen || w.resting {
		return block{}, false
	}
	rest = block{w.block.number, w.at + 1, w.block.to}
	if w.put == 0 && w.id.Start != 0 && !w.careful {
		rest.from = w.at
	}
	w.abandoned = true
	close(w.quit)
	w.mark()
	w.part.block = w.block.number
	return rest, true
}

// markUnlessEnded counts the goroutine among the stuck ones if it is one.
func (w *sweeper[T]) markUnlessEnded() {
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
