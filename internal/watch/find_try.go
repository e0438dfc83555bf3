package watch

import (
	"context"
	"sync"
	"time"
)

// visit is a process that trials are made on.
type visit struct {
	pid    int
	trials []trial
}

// everyone has the same trials made on all processes.
func everyone(pids []int, trials []trial) []visit {
	visits := make([]visit, len(pids))
	for i, pid := range pids {
		visits[i] = visit{pid, trials}
	}
	return visits
}

// hit is a process that a trial fits.
type hit struct {
	failed error // nil; else nobody can be looked at

	pid    int
	gone   bool // there is no such process, and nothing of it below
	trial  *trial
	err    error // nil; else it cannot be seen whether it fits
	found  found
	parent int
	young  bool // it still runs its parent's program, and may be about to run another
}

// try makes the trials, and passes what they come to to take in this goroutine.
func (f *finder) try(ctx context.Context, visits []visit, take func(hit)) error {
	pids := make([]int, len(visits))
	for i, v := range visits {
		pids[i] = v.pid
	}
	var failed error
	err := inTurn(ctx, f.pids, pids, func() looker[hit] { return &prober{finder: f, visits: visits} }, func(h hit) {
		if h.failed != nil {
			failed = h.failed
			return
		}
		take(h)
	})
	if err == nil {
		err = failed
	}
	return err
}

// prober makes trials in one goroutine.
type prober struct {
	finder  *finder
	visits  []visit
	subject *subject
	failed  bool             // there is no subject to be had
	refused map[int]struct{} // trials for which it was told that something cannot be seen
}

// look makes the trials on one process.
func (p *prober) look(at int, put func(hit)) {
	if p.ready(put) {
		p.subject.careful = false
		p.visit(&p.visits[at], put)
	}
}

// glance makes the trials as far as they need nothing that can block.
func (p *prober) glance(at int, put func(hit)) {
	if p.ready(put) {
		p.subject.careful = true
		p.visit(&p.visits[at], put)
	}
}

// ready says whether there is a subject to look at.
func (p *prober) ready(put func(hit)) bool {
	if p.subject != nil || p.failed {
		return !p.failed
	}
	var err error
	if p.subject, err = p.finder.system.newSubject(p.finder.long); err != nil {
		p.failed = true
		put(hit{failed: err})
	}
	return !p.failed
}

func (p *prober) visit(v *visit, put func(hit)) {
	if !p.subject.enter(v.pid) {
		put(hit{pid: v.pid, gone: true})
		return
	}
	var h hit // as far as it is the same for all
	known := false
	for i := range v.trials {
		t := &v.trials[i]
		switch t.try(p.subject) {
		case fitsNot:
		case refused:
			p.refuse(t, v.pid, put)
		case fits:
			if !known {
				var ok bool
				if h, ok = p.describe(v.pid); !ok {
					return
				}
				known = true
			}
			h.trial = t
			put(h)
		}
	}
}

// refuse tells once that something cannot be seen for a trial.
func (p *prober) refuse(t *trial, pid int, put func(hit)) {
	if _, told := p.refused[t.index]; told {
		return
	}
	if p.refused == nil {
		p.refused = map[int]struct{}{}
	}
	p.refused[t.index] = struct{}{}
	put(hit{trial: t, pid: pid, err: p.subject.refusal()})
}

// describe says what is known of a process that fits; not ok if it has ended.
func (p *prober) describe(pid int) (h hit, ok bool) {
	h.pid = pid
	line, _ := p.subject.commandLine()
	h.found.command = string(shorten(line, maxCommand))
	h.found.user = p.subject.user()
	h.found.seen, h.young, h.parent, ok = p.subject.look()
	return h, ok
}

func (p *prober) done() {
	if p.subject != nil {
		p.subject.close()
	}
}

const (
	// freeCommand is how much of a command line is always looked at, in bytes. Any
	// user can have thousands of processes with long ones.
	freeCommand = 4 << 10

	// allowancePerSecond is how much is looked at beyond that, allowanceMost how
	// much after a while without, in bytes.
	allowancePerSecond = 1 << 20
	allowanceMost      = 8 << 20
)

// allowance bounds how much of long command lines is looked at.
type allowance struct {
	mu   sync.Mutex
	left int       // guarded by mu
	at   time.Time // when left was so; guarded by mu
}

func newAllowance() *allowance { return &allowance{left: allowanceMost, at: time.Now()} }

// limit is how much of the next command line may be read.
func (a *allowance) limit() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left <= 0 {
		now := time.Now()
		a.left += int(min(now.Sub(a.at).Seconds(), allowanceMost/allowancePerSecond) * allowancePerSecond)
		a.at = now
	}
	if a.left <= 0 {
		return freeCommand
	}
	return maxMatched
}

// spend notes how much was read.
func (a *allowance) spend(n int) {
	if n <= freeCommand {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left -= n
}
