package watch

import (
	"context"
	"sync"
	"time"
)

// lookGap is how much time there is from one look at all processes, for the
// verdicts of rules, to the next.
const lookGap = time.Second

// seeker is what rules need of a [finder].
type seeker interface {
	scan(ctx context.Context, sels []*selector) ([][]found, []error)

	// want has run look for these from now on, and among those that are there.
	want(sels []*selector)

	run(ctx context.Context, came func(*selector, found)) error
}

var _ seeker = (*finder)(nil)

// ruleWork is what goes on beside the calls, for rules and for heirs. It costs
// nothing while there are none.
type ruleWork struct {
	finder seeker
	ticks  *pacer // for what is due without a look
	looks  *pacer // for looks

	// wanting is held while the finder is told what to look for. It comes before
	// Watcher.mu.
	wanting sync.Mutex

	rulesBy map[*selector]*rule    // guarded by Watcher.mu
	linesBy map[*selector]*lineage // guarded by Watcher.mu

	lines        map[kin]*lineage // guarded by Watcher.mu
	linesChanged bool             // the finder is to be told; guarded by Watcher.mu
	dying        int              // ends in lines; guarded by Watcher.mu

	looked time.Duration // when the last look where one was due ended; only lookWhereDue touches it
}

func newRuleWork(f seeker) *ruleWork {
	return &ruleWork{
		finder: f, ticks: newPacer(now), looks: newPacer(now),
		rulesBy: map[*selector]*rule{}, linesBy: map[*selector]*lineage{}, lines: map[kin]*lineage{},
	}
}

// wake has what is due of a rule be seen to. Watcher.mu is held.
func (k *ruleWork) wake(m *machine) {
	if m.dueTick() != never {
		k.ticks.kick()
	}
	if m.dueLook() != never {
		k.looks.kick()
	}
}

// workRules looks for the processes of rules, and for heirs, until ctx is done.
func (w *Watcher) workRules(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w.wantRules()
	w.rules.looks.kick() // for rules of a former run
	wg.Go(func() { w.rules.ticks.run(ctx, w.tickRules) })
	wg.Go(func() { w.rules.looks.run(ctx, w.lookWhereDue) })
	if err := w.rules.finder.run(ctx, w.cameTo); err != nil && ctx.Err() == nil {
		w.log.Error("processes that come to match a rule are found by the routine checks alone", "err", err)
	}
	<-ctx.Done()
}

// wantRules tells the finder what to look for. w.mu is not held.
func (w *Watcher) wantRules() {
	k := w.rules
	k.wanting.Lock()
	defer k.wanting.Unlock()
	w.mu.Lock()
	k.rulesBy, k.linesBy = map[*selector]*rule{}, map[*selector]*lineage{}
	var sels []*selector
	for _, s := range w.sessions {
		for _, r := range s.rules {
			k.rulesBy[r.sel] = r
			sels = append(sels, r.sel)
		}
	}
	for _, l := range k.lines {
		k.linesBy[l.sel] = l
		sels = append(sels, l.sel)
	}
	k.linesChanged = false
	w.mu.Unlock()
	k.finder.want(sels)
}

// cameTo takes in a process that has come to match what was wanted.
func (w *Watcher) cameTo(sel *selector, f found) {
	a := arrivalOf(&f)
	if a.seen.Zombie {
		return
	}
	w.mu.Lock()
	r := w.rules.rulesBy[sel]
	watch := r != nil && r.came(w, &a)
	if l := w.rules.linesBy[sel]; l != nil {
		l.arrived(w, &a)
	}
	w.mu.Unlock()
	if watch {
		w.holdMember(r, a.seen)
	}
}

func arrivalOf(f *found) arrival {
	return arrival{seen: f.seen, command: f.command, began: startOf(f.seen.ID)}
}

// arrivals returns those that have not ended.
func arrivals(list []found) []arrival {
	as := make([]arrival, 0, len(list))
	for i := range list {
		if !list[i].seen.Zombie {
			as = append(as, arrivalOf(&list[i]))
		}
	}
	return as
}

// tickRules does what is due without a look, and returns when that is the next
// time.
func (w *Watcher) tickRules(context.Context) (next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now()
	next = w.expireHeirs(at)
	for _, s := range w.sessions {
		for _, r := range s.rules {
			if r.machine.dueTick() <= at {
				r.machine.tick(at)
				w.settleRule(r)
			}
			next = min(next, r.machine.dueTick())
		}
	}
	return next
}

// lookWhereDue tells the finder whose heirs are looked for now, looks at all
// processes for the rules that want it, and returns when that is the next time.
func (w *Watcher) lookWhereDue(ctx context.Context) (next time.Duration) {
	k := w.rules
	w.mu.Lock()
	changed := k.linesChanged
	w.mu.Unlock()
	if changed {
		w.wantRules()
	}
	at, open := now(), k.looked+lookGap
	next = never
	var due []*rule
	w.mu.Lock()
	for _, s := range w.sessions {
		for _, r := range s.rules {
			if t := r.machine.dueLook(); t <= at {
				due = append(due, r)
			} else {
				next = min(next, t)
			}
		}
	}
	w.mu.Unlock()
	switch {
	case len(due) == 0:
		return next
	case at < open:
		return min(next, open)
	}
	_ = w.lookFor(ctx, due) // it fails with ctx alone
	k.looked = now()
	return k.looked // what is due after that?
}
