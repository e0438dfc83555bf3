// Package watch tells when a process ends. It waits for the system to say so
// (pidfd, kqueue, wait handles) and looks once a second only where the system
// will not. It signals no process and starts none.
//
// What it saw is kept for whoever asked, over broken connections and restarts of
// the agent, until that asker has acknowledged it: see [Watcher.Watch].
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// Bounds on what askers can make a [Watcher] hold.
const (
	MaxAskers  = 4       // sessions; the one that has been away longest makes room for a fifth
	MaxTargets = 20_000  // of one asker
	MaxQueue   = 100_000 // changes that one asker has not acknowledged; the oldest go first
)

// goodbyeTime is how long the calls of Watch have for their last word when Run
// ends.
const goodbyeTime = time.Second

// Options are the settings of a [Watcher].
type Options struct {
	Run    string // id of this run of the agent; with a sighting's number it makes an event's id
	Dir    string // folder for what is to outlive the agent, made if need be; "" is none: all is forgotten
	Logger *slog.Logger

	// Do calls its argument where a confined agent may make and remove files, and
	// bind a socket: few threads may. nil: right here.
	Do func(func())
}

// Watcher watches processes for a few askers. Its methods may be called by any
// number of goroutines.
type Watcher struct {
	run     string
	log     *slog.Logger
	poll    *poller
	journal *journal // nil: nothing outlives the agent

	ready   chan struct{} // closed when Run has set boot and waiter
	leaving chan struct{} // closed when Run is about to be over
	stopped chan struct{} // closed when Run is over
	boot    string
	alive   lastAlive // of the former run; zero: there is none that is known
	waiter  *waiter   // nil: everything is polled
	sampler *sampler
	finder  *finder
	rules   *ruleWork
	oom     *oomWatch

	newWaiter func(func(*process, dtc.Exit, string)) (*waiter, error)

	// attaching is held while a process is attached or released, so that two
	// askers never open the same one twice. It comes before mu.
	attaching sync.Mutex

	watching   chan struct{} // of capacity 1: something is held
	beatFailed bool          // a sign of life could not be written; only beats touches it

	mu        sync.Mutex
	number    uint64                     // of the last sighting; guarded by mu
	place     uint64                     // of the last kept sighting; guarded by mu
	sessions  map[string]*session        // by asker; guarded by mu
	forgotten []string                   // askers whose sessions the journal is to forget; guarded by mu
	held      map[dtc.ProcessID]*process // watched and not known to have ended; guarded by mu
	heldSince time.Duration              // since boot, the first of held; guarded by mu
	stood     standstill                 // guarded by mu
	calls     int                        // of Watch, that run; guarded by mu
	quitting  bool                       // Run waits for the calls to end; guarded by mu
	quiet     chan struct{}              // closed when they have
}

// New returns a watcher that begins to work with [Watcher.Run].
func New(opts Options) *Watcher {
	w := &Watcher{
		run:      opts.Run,
		log:      opts.Logger,
		ready:    make(chan struct{}),
		leaving:  make(chan struct{}),
		stopped:  make(chan struct{}),
		watching: make(chan struct{}, 1),
		quiet:    make(chan struct{}),
		sessions: map[string]*session{},
		held:     map[dtc.ProcessID]*process{},

		sampler: newSampler(),
		finder:  newFinder(opts.Logger),
		oom:     newOOMWatch(opts.Logger),

		newWaiter: newWaiter,
	}
	if opts.Do != nil {
		w.finder.subscribe = func() (s starts, err error) {
			opts.Do(func() { s, err = openStarts() })
			if err == nil {
				s = &keptStarts{s, opts.Do}
			}
			return s, err
		}
	}
	w.rules = newRuleWork(w.finder)
	w.poll = newPoller(w.ended)
	if opts.Dir != "" {
		w.journal = newJournal(opts.Dir, opts.Logger, w.takeBatch)
		if opts.Do != nil {
			w.journal.do = opts.Do
		}
	}
	return w
}

// Run waits for the ends of processes until ctx is done, and returns nil then.
// It is to be called once; Watch and Check wait for it.
func (w *Watcher) Run(ctx context.Context) error {
	defer close(w.stopped)
	boot, err := proc.BootID()
	if err != nil {
		return fmt.Errorf("watch processes: %w", err)
	}
	w.boot = boot
	if w.waiter, err = w.newWaiter(w.ended); err != nil {
		w.log.Warn("the system does not tell when a process ends, looking once a second", "err", err)
	}
	defer w.releaseAll()
	defer w.remember(ctx)()
	close(w.ready)
	return w.work(ctx)
}

// work is Run after its beginning.
func (w *Watcher) work(ctx context.Context) error {
	// All goes on until the calls have had their last word.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer cancel()
		select {
		case <-ctx.Done():
			w.sayGoodbye()
		case <-working.Done():
		}
	})
	wg.Go(func() { w.poll.run(working) })
	wg.Go(func() { w.runSampler(working) })
	wg.Go(func() { w.workRules(working) })
	if w.waiter == nil {
		<-working.Done()
		return nil
	}
	if err := w.waiter.run(working); err != nil && working.Err() == nil {
		return fmt.Errorf("wait for the end of processes: %w", err)
	}
	return nil
}

// sayGoodbye has the calls of Watch tell that the agent stops, and waits for
// that, but not for long.
func (w *Watcher) sayGoodbye() {
	close(w.leaving)
	w.mu.Lock()
	w.quitting = true
	if w.calls == 0 {
		close(w.quiet)
	}
	w.mu.Unlock()
	patience := time.NewTimer(goodbyeTime)
	defer patience.Stop()
	select {
	case <-w.quiet:
	case <-patience.C:
	}
}

// Watch watches the targets for an asker, and gives what it sees to emit, until
// ctx is done, emit fails or a newer call for the same asker takes over.
//
// An asker has one session, which outlives the call and, with [Options.Dir], the
// agent: processes stay watched between calls, and a change stays queued until
// it is acknowledged. What ended while the agent was away is found when it
// starts. A call
//
//   - gives the set of targets anew; who is not among them is watched no longer;
//   - first emits again, in order and with their ages as of now, the changes
//     that are not acknowledged, those of former runs before those of this one;
//   - then one sighting a target, alive or missing, but none of a target whose
//     death is queued or is of Known;
//   - then what happens, as it happens;
//   - and at last, when Run's context ends, a sighting [dtc.StateStopped]
//     without a number or a process.
//
// Numbers rise strictly within a call, from run to run anew. A target whose
// Known process is not there any more is dead with an unknown exit, and so is
// one that was watched before the agent started: Age and AgeMost are then the
// bounds of when. Its Lived is the time from its start, the most that it can
// be; [dtc.Absent] when that is not known. The Boot of such a sighting is that
// of the process. Who has
// taken over its pid is not watched: an asker that has recorded a death gives
// that target no more, or goes on giving Known. A process that has been told
// dead is from then on no process at all, even if its zombie still stands.
func (w *Watcher) Watch(ctx context.Context, asker string, want dtc.Watching, emit func(dtc.Sighting) error) error {
	targets := want.Targets
	if err := checkTargets(targets); err != nil {
		return err
	}
	sels, err := newSelectors(want.Rules)
	if err != nil {
		return err
	}
	if err := w.await(ctx); err != nil {
		return err
	}
	c, err := w.begin(asker)
	if err != nil {
		return err
	}
	defer w.end(c)

	told, err := w.retarget(c, targets)
	if err != nil {
		return err
	}
	if err := w.flush(ctx, c, emit); err != nil {
		return err
	}
	for _, t := range targets {
		if err := w.start(c, t, told[""]); err != nil {
			return err
		}
		if err := w.flush(ctx, c, emit); err != nil {
			return err
		}
	}
	if err := w.startRules(ctx, c, ruleSpecs{want.Rules, sels, told}); err != nil {
		return err
	}
	if err := w.flush(ctx, c, emit); err != nil {
		return err
	}
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-w.leaving:
			return w.lastWord(ctx, c, emit)
		case <-w.stopped:
			return errStopped()
		}
		if err := w.flush(ctx, c, emit); err != nil {
			return err
		}
	}
}

// lastWord ends a call because the agent stops.
func (w *Watcher) lastWord(ctx context.Context, c *call, emit func(dtc.Sighting) error) error {
	if err := w.flush(ctx, c, emit); err != nil {
		return err
	}
	if err := emit(dtc.Sighting{Run: w.run, State: dtc.StateStopped, Boot: w.boot}); err != nil {
		return err
	}
	return errStopped()
}

// Check looks at the asker's targets with these pids and its rules with these
// names (at all if there are none of both given) now, and returns how they are,
// without numbers. A target that was missing and has come to be is watched from
// now on. Those that have ended are left out: their deaths come through Watch.
func (w *Watcher) Check(ctx context.Context, asker string, pids []int, rules []string) ([]dtc.Sighting, error) {
	if err := w.await(ctx); err != nil {
		return nil, err
	}
	all := len(pids) == 0 && len(rules) == 0
	s, targets, err := w.chosen(asker, pids)
	if err != nil {
		return nil, err
	}
	if all {
		pids = targets
	}
	seen := make([]dtc.Sighting, 0, len(pids))
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if sighting, ok := w.check(s, pid); ok {
			seen = append(seen, sighting)
		}
	}
	if len(rules) == 0 && !all {
		return seen, nil
	}
	of, err := w.checkRules(ctx, s, rules)
	return append(seen, of...), err
}

// Acknowledge drops the asker's queued changes of a run up to a number, and those
// of the runs before it: they are recorded where nothing is lost. A run of which
// nothing is queued is no error.
func (w *Watcher) Acknowledge(_ context.Context, asker, run string, number uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.sessions[asker]; s != nil {
		w.acknowledge(s, run, number)
	}
	return nil
}

// Alive waits until Run is at work, and returns nil if what is watched can still
// be looked at.
func (w *Watcher) Alive(ctx context.Context) error {
	if err := w.await(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quitting {
		return errStopped()
	}
	return nil
}

// await waits until Run is at work.
func (w *Watcher) await(ctx context.Context) error {
	select {
	case <-w.leaving:
		return errStopped()
	case <-w.stopped:
		return errStopped()
	default:
	}
	select {
	case <-w.ready:
		return nil
	case <-w.stopped:
		return errStopped()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush emits what is queued. Nothing is locked while emit runs.
func (w *Watcher) flush(ctx context.Context, c *call, emit func(dtc.Sighting) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := w.next(c)
		if e == nil || err != nil {
			return err
		}
		if w.journal != nil && e.place > 0 {
			w.journal.wait(ctx, e.place) // so that a later run knows that it was told
		}
		sighting := e.sighting
		sighting.Age = max(0, now()-e.at)
		if e.since != 0 {
			sighting.AgeMost = max(sighting.Age, now()-e.since)
		}
		if err := emit(sighting); err != nil {
			return err
		}
	}
}

func checkTargets(targets []dtc.WatchTarget) error {
	if len(targets) > MaxTargets {
		return invalid("watch %d processes: an asker may have %d at most", len(targets), MaxTargets)
	}
	pids := make([]int, len(targets))
	for i, t := range targets {
		if t.PID < 1 {
			return invalid("watch process %d: a pid is a number from 1", t.PID)
		}
		pids[i] = t.PID
	}
	slices.Sort(pids)
	for i := 1; i < len(pids); i++ {
		if pids[i] == pids[i-1] {
			return invalid("watch process %d: it is given twice", pids[i])
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return &dtc.Error{Kind: dtc.KindInvalid, Err: fmt.Errorf(format, args...)}
}

func unavailable(text string) error {
	return &dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New(text)}
}

func errStopped() error { return unavailable("watch processes: the agent stops") }

func errSuperseded() error {
	return unavailable("watch processes: a newer call of the same asker has taken over")
}

// now is the clock of ages.
func now() time.Duration { return proc.SinceBoot() }
