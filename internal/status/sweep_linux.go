package status

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtc/internal/proc"
)

const (
	// stallTime is how long the reading of one process may take before it
	// counts as stuck. A command line is read out of the memory of its process:
	// that can block for ever, on a lock or on a page of a dead file server.
	stallTime = 700 * time.Millisecond

	// maxNotes is how many notes an answer has at most.
	maxNotes = 20

	// maxSide is how many sweepers read side by side: two take half the time of
	// one and a tenth more of the processors, as the kernel's own locks have it.
	// More would take them from what the host is there for.
	maxSide = 2

	// A block is how many processes a sweeper takes at a time: so few that a
	// short list is shared too, so many that the parts of a long one are worth
	// their sending.
	minBlock, maxBlock = 32, 250
)

// target is a process that a reader is to read.
type target struct {
	in   *proc.Scanner // has entered it
	stat proc.Stat     // of it; Comm is valid until in is used

	// careful forbids what can block.
	careful bool

	// text makes a string that lives as long as the item that is put next, in
	// memory that is used again.
	text func([]byte) string

	line []byte // for the reader to build texts in

	owner func() (uint32, error) // of in
}

// reader reads processes one after the other.
type reader[T any] interface {
	// read passes what is known of the process to put, item by item.
	read(p *target, put func(T))

	// made is how many bytes of text its items have so far, but for those that
	// the target made.
	made() int

	// notes are what the operator should know in the end.
	notes() []string
}

// sweep reads a list of processes with a deadline for each that does not
// depend on the kernel: the reading goes on in goroutines that are left behind
// when they get stuck, and another one takes over behind the stuck process.
type sweep[T any] struct {
	fs    proc.FS
	sel   *selector // nil: all processes
	stuck *stuckProcesses
	open  func() reader[T] // one for each sweeper
	stall time.Duration
	parts *partPool[T]
	side  int // how many read side by side, 0 is one

	// block is how many processes are taken at a time; 0: by the length of the
	// list. With many items a process it must be small: whoever has filled a part
	// waits until the blocks before its own have been delivered.
	block int
}

// sideBySide returns how many sweepers an answer may have.
func sideBySide() int { return min(runtime.GOMAXPROCS(0), maxSide) }

// run passes the items of all processes to deliver in parts, in the order of
// pids, and says with the last what the operator should know. The part is valid
// during the call.
func (s *sweep[T]) run(ctx context.Context, pids []int, deliver func(part []T, last bool, notes []string) error) error {
	r := newRound(s, pids, deliver)
	r.bold = boldTime(ctx) * time.Duration(max(s.side, 1))
	for range min(max(s.side, 1), r.blocks) {
		if err := r.start(block{}); err != nil {
			r.abandon()
			return err
		}
	}
	tick := time.NewTicker(s.stall / 4)
	defer tick.Stop()
	for len(r.running) > 0 {
		var err error
		select {
		case m := <-r.full:
			err = r.receive(m)
		case <-ctx.Done():
			err = ctx.Err()
		case now := <-tick.C:
			err = r.check(now)
		}
		if err != nil {
			r.abandon()
			return err
		}
	}
	return r.finish()
}

// boldTime is how long an answer may read what can block: half of the time that
// there is.
func boldTime(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline) / 2
	}
	return math.MaxInt64 / maxSide
}

// block is a piece of the list of processes: those from index from to before
// index to.
type block struct{ number, from, to int }

// round is one run of a sweep. Its blocks are read side by side in any order,
// and delivered in theirs.
type round[T any] struct {
	*sweep[T]
	pids    []int
	size    int // of a block
	blocks  int
	deliver func(part []T, last bool, notes []string) error
	full    chan message[T]

	// bold is how long all sweepers together read what can block, spent how long
	// they have read, in nanoseconds, waiting for the one that delivers not counted.
	bold  time.Duration
	spent atomic.Int64

	mu   sync.Mutex // guards what follows
	next int        // the first block that nobody has taken

	// Of the goroutine that delivers.
	running []*sweeper[T]
	waiting []*part[T] // read, and not yet delivered
	head    int        // the block that is to be delivered
	made    int        // parts that there are
	said    []note
}

// note is what the operator should know, about the process at an index.
type note struct {
	at   int
	text string
}

func unreadableNote(pid int) string {
	return fmt.Sprintf("process %d does not let itself be read: what is shown of it is not all", pid)
}

// hurriedNote says why an answer has less of some processes.
const hurriedNote = "the processes took long to read: of some only that is shown which needs no waiting"

func newRound[T any](s *sweep[T], pids []int, deliver func([]T, bool, []string) error) *round[T] {
	size := min(max(len(pids)/(4*maxSide), minBlock), maxBlock)
	if s.block > 0 {
		size = s.block
	}
	return &round[T]{
		sweep: s, pids: pids, deliver: deliver, full: make(chan message[T]),
		size: size, blocks: (len(pids) + size - 1) / size,
	}
}

// take returns the next block that nobody has taken.
func (r *round[T]) take() (b block, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b = block{r.next, r.next * r.size, min((r.next+1)*r.size, len(r.pids))}
	if b.number >= r.blocks {
		return block{}, false
	}
	r.next++
	return b, true
}

// more tells whether there is a block that nobody has taken.
func (r *round[T]) more() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next < r.blocks
}

// start starts a sweeper, with the block that it is to begin with if that is
// not the next one.
func (r *round[T]) start(first block) error {
	p, err := r.parts.openTarget(r.fs)
	if err != nil {
		return err
	}
	w := newSweeper(r, p, first)
	w.free <- r.newPart()
	r.running = append(r.running, w)
	r.stuck.sweepers.Go(w.run)
	return nil
}

func (r *round[T]) newPart() *part[T] {
	r.made++
	return r.parts.get()
}

// receive takes what a sweeper hands over: a part, or its notes in the end.
func (r *round[T]) receive(m message[T]) error {
	if m.part == nil {
		r.said = append(r.said, m.from.said...)
		r.running = slices.DeleteFunc(r.running, func(w *sweeper[T]) bool { return w == m.from })
		return nil
	}
	r.waiting = append(r.waiting, m.part)
	m.part.owner = m.from
	// Memory for another block is had at once as long as there is not too much
	// of it. Who is in the midst of a block gets it when that is delivered.
	if m.part.last && r.made < 2*max(r.side, 1) {
		m.part.owner = nil
		m.from.free <- r.newPart()
	}
	return r.deliverReady()
}

// deliverReady delivers what is next in order, but for the end of the last
// block, which goes with the notes.
func (r *round[T]) deliverReady() error {
	for {
		i := slices.IndexFunc(r.waiting, func(p *part[T]) bool { return p.block == r.head })
		if i < 0 || r.isEnd(r.waiting[i]) {
			return nil
		}
		p := r.waiting[i]
		r.waiting = slices.Delete(r.waiting, i, i+1)
		if len(p.items) > 0 {
			if err := r.deliver(p.items, false, nil); err != nil {
				return err
			}
			r.forgive()
		}
		if p.last {
			r.head++
		}
		r.recycle(p)
	}
}

func (r *round[T]) isEnd(p *part[T]) bool { return p.last && p.block == r.blocks-1 }

// forgive gives all sweepers their time again: nobody has looked at them while
// something was delivered.
func (r *round[T]) forgive() {
	for _, w := range r.running {
		w.since = time.Time{}
	}
}

// recycle gives the memory of a part back, or to who waits for it.
func (r *round[T]) recycle(p *part[T]) {
	if w := p.owner; w != nil && slices.Contains(r.running, w) {
		p.reset()
		w.free <- p
		return
	}
	r.made--
	r.parts.put(p)
}

// finish delivers the end when all has been read.
func (r *round[T]) finish() error {
	slices.SortStableFunc(r.said, func(a, b note) int { return cmp.Compare(a.at, b.at) })
	var notes []string
	for _, n := range slices.Compact(r.said) {
		if len(notes) < maxNotes {
			notes = append(notes, n.text)
		}
	}
	var items []T
	if len(r.waiting) > 0 {
		items = r.waiting[0].items
		defer r.recycle(r.waiting[0])
	}
	return r.deliver(items, true, notes)
}

// check leaves behind who has done nothing for too long.
func (r *round[T]) check(now time.Time) error {
	for _, w := range slices.Clone(r.running) {
		if !w.stalled(now) {
			continue
		}
		rest, ok := w.leaveBehind()
		if !ok {
			continue
		}
		r.running = slices.DeleteFunc(r.running, func(other *sweeper[T]) bool { return other == w })
		r.said = append(append(r.said, w.said...), note{w.at, unreadableNote(r.pids[w.at])})
		r.waiting = append(r.waiting, w.part)
		r.spent.Add(int64(r.stall))
		if err := r.start(rest); err != nil {
			return err
		}
	}
	return r.deliverReady()
}

// abandon lets all sweepers end, and waits for them unless they are stuck.
func (r *round[T]) abandon() {
	for _, w := range r.running {
		w.abandon()
	}
	patience := time.NewTimer(r.stall)
	defer patience.Stop()
	for _, w := range r.running {
		select {
		case <-w.gone:
			continue
		case <-patience.C:
			patience.Reset(0) // for the others too
		}
		w.markUnlessEnded()
	}
}

// noteOfReader is the index of notes that are about no process: they come last.
const noteOfReader = math.MaxInt
