package top

import (
	"context"
	"strings"
	"sync"
	"time"

	"dtc"
	"dtc/internal/fleet"
)

// feed asks the hosts and gathers what they answer. Each host is asked at its own
// pace by a goroutine of its own, so that one that hangs delays no other; how
// many connections are begun at once is the fleet's business.
type feed struct {
	hosts   []fleet.Host
	asker   Asker
	every   time.Duration
	timeout time.Duration
	board   board

	mu   sync.Mutex
	want want
	wake chan struct{} // want is another
}

func newFeed(o *Options) *feed {
	return &feed{
		hosts: o.Hosts, asker: o.Asker, every: o.Every, timeout: o.Timeout,
		wake: make(chan struct{}, 1), board: board{dirty: make(chan struct{}, 1)},
	}
}

// run asks until ctx is done, and gives to send what came in. Every goroutine
// is run by guard, and has ended when run returns.
func (f *feed) run(ctx context.Context, send func(Answers), guard func(func())) {
	var all sync.WaitGroup
	for i := range f.hosts {
		all.Go(func() { guard(func() { f.keepHost(ctx, i) }) })
	}
	all.Go(func() { guard(func() { f.keepList(ctx, guard) }) })
	all.Go(func() { guard(func() { f.board.pump(ctx, send) }) })
	all.Wait()
}

// set says what is wanted from now on.
func (f *feed) set(w want) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w == f.want {
		return
	}
	f.want = w
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *feed) wanted() want {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.want
}

// keepHost asks a host how it is: at once, then at times that are spread over
// the interval, so that a large fleet does not answer all at the same moment.
func (f *feed) keepHost(ctx context.Context, i int) {
	began := time.Now()
	offset := f.every * time.Duration(i) / time.Duration(len(f.hosts))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if !f.wanted().paused {
			a := f.askHost(ctx, i)
			if ctx.Err() != nil {
				return
			}
			f.board.putHost(a)
		}
		timer.Reset(untilNext(time.Since(began), offset, f.every))
	}
}

// untilNext returns how long it is to the next of the times offset, offset +
// every and so on that is at least half of every away.
func untilNext(now, offset, every time.Duration) time.Duration {
	soonest := now + every/2 - offset
	rounds := max((soonest+every-1)/every, 0)
	return offset + rounds*every - now
}

// askHost asks for what makes up a host's line.
func (f *feed) askHost(ctx context.Context, i int) HostAnswer {
	a := HostAnswer{Index: i, Sample: nothing()}
	a.Err = f.get(ctx, i, dtc.Query{Status: dtc.StatusCPU}, func(r *dtc.Report) {
		if r.CPU != nil {
			a.Sample.takeCPU(r.CPU)
		}
	})
	if a.Err == nil {
		a.Err = f.get(ctx, i, dtc.Query{Status: dtc.StatusMemory}, func(r *dtc.Report) {
			if r.Memory != nil {
				a.Sample.Memory = *r.Memory
			}
		})
	}
	a.At = time.Now()
	return a
}

// get asks one host, and gives each good part of the answer to take.
func (f *feed) get(ctx context.Context, i int, q dtc.Query, take func(*dtc.Report)) error {
	var failed error
	f.asker.Get(ctx, f.hosts[i:i+1], q, f.timeout, func(_ int, part *dtc.Report) {
		if part.Err != nil {
			failed = part.Err
			return
		}
		take(part)
	})
	return failed
}

// keepList asks one host again and again for the list that is wanted.
func (f *feed) keepList(ctx context.Context, guard func(func())) {
	for ctx.Err() == nil {
		w := f.wanted()
		if w.subject == noList || w.paused {
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		if f.askWhileWanted(ctx, w, guard) {
			f.pause(ctx, w, max(f.every-time.Since(began), f.every/4))
		}
	}
}

// askWhileWanted asks for a list and gives up when another one is wanted; it
// reports whether it came to an end.
func (f *feed) askWhileWanted(ctx context.Context, w want, guard func(func())) bool {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop() // before the wait
	wg.Go(func() {
		defer close(done)
		guard(func() { f.askList(asking, w) })
	})
	for {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		case <-f.wake:
			if !f.wanted().same(w) {
				return false
			}
		}
	}
}

// pause waits, but not when another list is wanted.
func (f *feed) pause(ctx context.Context, w want, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-f.wake:
			if now := f.wanted(); now.paused || !now.same(w) {
				return
			}
		}
	}
}

// askList asks for a list and puts the answer on the board.
func (f *feed) askList(ctx context.Context, w want) {
	switch w.subject {
	case processes:
		a := f.askProcesses(ctx, w)
		if ctx.Err() == nil {
			f.board.putProcesses(a)
		}
	case openFiles:
		a := f.askFiles(ctx, w)
		if ctx.Err() == nil {
			f.board.putFiles(a)
		}
	case noList:
	}
}

func (f *feed) askProcesses(ctx context.Context, w want) *ProcessAnswer {
	a := &ProcessAnswer{Host: w.host, Sort: w.sort, Filter: w.filter}
	q := dtc.Query{Status: dtc.StatusProcess, Selection: dtc.Selection{Sort: w.sort, Limit: w.limit()}}
	a.Err = f.getList(ctx, w.host, q, func(r *dtc.Report) {
		a.Collected, a.PIDWidth = r.CollectedAt, r.PIDWidth
		a.note(r.Notes)
		for i := range r.Process {
			if !matchesProcess(w.filter, &r.Process[i]) {
				continue
			}
			if len(a.Processes) == maxItems {
				a.More = true
				return
			}
			a.Processes = append(a.Processes, r.Process[i])
			clipProcess(&a.Processes[len(a.Processes)-1])
		}
	})
	a.At = time.Now()
	return a
}

func (a *ProcessAnswer) note(notes []string) {
	if a.Note == "" && len(notes) > 0 {
		a.Note = clip(notes[0])
	}
}

func (f *feed) askFiles(ctx context.Context, w want) *FileAnswer {
	a := &FileAnswer{Host: w.host, PID: w.pid, Filter: w.filter}
	q := dtc.Query{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Limit: w.limit()}}
	if w.pid != 0 {
		q.Selection.PIDs = []int{w.pid}
	}
	a.Err = f.getList(ctx, w.host, q, func(r *dtc.Report) {
		if a.Note == "" && len(r.Notes) > 0 {
			a.Note = clip(r.Notes[0])
		}
		for i := range r.OpenFiles {
			o := &r.OpenFiles[i]
			if w.pid != 0 && o.PID != w.pid || !matchesFile(w.filter, o) { // the pid is for an agent that cannot select
				continue
			}
			if len(a.Files) == maxItems {
				a.More = true
				return
			}
			a.Files = append(a.Files, *o)
			clipFile(&a.Files[len(a.Files)-1])
		}
	})
	a.At = time.Now()
	return a
}

// getList asks for a selection; an agent that is too old to select is asked for
// all.
func (f *feed) getList(ctx context.Context, i int, q dtc.Query, take func(*dtc.Report)) error {
	err := f.get(ctx, i, q, take)
	if dtc.KindOf(err) == dtc.KindInvalid && ctx.Err() == nil {
		if again := f.get(ctx, i, dtc.Query{Status: q.Status}, take); again == nil {
			return nil
		}
	}
	return err
}

// maxText is how many bytes of a text are kept: more than any screen shows.
const maxText = 4096

// clip returns a copy of s, of its beginning if it is very long. What is kept must
// be a copy: the texts of many rows are cut from one, and a row that matches a
// filter would hold all those that do not.
func clip(s string) string { return strings.Clone(s[:min(len(s), maxText)]) }

func clipProcess(p *dtc.Process) {
	p.User, p.TTY, p.State, p.Name, p.Command = clip(p.User), clip(p.TTY), clip(p.State), clip(p.Name), clip(p.Command)
}

func clipFile(o *dtc.OpenFile) {
	o.User, o.Command, o.FD, o.Mode, o.Lock = clip(o.User), clip(o.Command), clip(o.FD), clip(o.Mode), clip(o.Lock)
	o.Type, o.Device, o.Node, o.Name = clip(o.Type), clip(o.Device), clip(o.Node), clip(o.Name)
}
