//go:build linux

package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	tortureSeed     = flag.Uint64("torture.seed", 0, "seed of the one round of TestTorture; 0: many, until the time is over")
	tortureFresh    = flag.Bool("torture.fresh", false, "many seeds are fresh ones, and not 1, 2, 3 and so on")
	tortureDuration = flag.Duration("torture.duration", time.Second, "how long TestTorture begins new rounds")
	tortureSteps    = flag.Int("torture.steps", 160, "steps of a writer in a round")
	torturePatience = flag.Duration("torture.patience", 3*patience, "how long a checkpoint waits for what is missing")
	tortureAtATime  = flag.Int("torture.parallel", 1, "rounds of TestTorture at a time")
	tortureClock    = flag.Duration("torture.clock", 0, "by how much TestTorture sets the machine's clock; 0: it does not")
	tortureFocus    = flag.String("torture.focus", "", "name of a mutant: only what finds it happens")
)

// TestTorture lets everything happen to followed files, to both programs and to
// what is between them, in rounds. Each is made of one seed, and at its
// checkpoints every copy is what the writers wrote, but for what was destroyed;
// and that is told.
func TestTorture(t *testing.T) {
	t.Parallel()
	var sum tally
	var rounds atomic.Int64
	end := time.Now().Add(*tortureDuration)
	round := func() {
		seed := uint64(rounds.Add(1))
		if *tortureSeed != 0 {
			seed = *tortureSeed
		} else if *tortureFresh {
			seed = rand.Uint64()
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := newWorld(t, seed, bin)
			w.torture()
			sum.join(&w.count)
		})
	}
	var wg sync.WaitGroup
	for range *tortureAtATime {
		wg.Go(func() {
			for round(); *tortureSeed == 0 && time.Now().Before(end) && !t.Failed(); {
				round()
			}
		})
	}
	wg.Wait()
	t.Logf("%d rounds: %s", rounds.Load(), &sum)
}

func (c *tally) join(o *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agentKills += o.agentKills
	c.monitorKills += o.monitorKills
	c.rotations += o.rotations
	c.truncations += o.truncations
	c.bytes += o.bytes
	c.told += o.told
	c.unseen += o.unseen
	c.gaps += o.gaps
	c.spared += o.spared
	c.checks += o.checks
	c.cuts += o.cuts
	c.fills += o.fills
	c.pauses += o.pauses
	c.restarts += o.restarts
	c.reloads += o.reloads
	c.verified += o.verified
	c.archives += o.archives
	c.steps += o.steps
}

func (c *tally) String() string {
	return fmt.Sprintf("%d checkpoints, %d kills of the agent, %d of the monitor, %d restarts, %d pauses, %d reloads, %d cuts, %d full disks, %d steps of the clock, "+
		"%d rotations, %d archives, %d truncations, %.1f MB, %d times verified; 0 bytes lost, repeated or foreign; destroyed before they were read: %d bytes told in %d gaps, %d bytes that nobody can have seen; %d gaps told for what may have been missed",
		c.checks, c.agentKills, c.monitorKills, c.restarts, c.pauses, c.reloads, c.cuts, c.fills, c.steps,
		c.rotations, c.archives, c.truncations, float64(c.bytes)/1e6, c.verified, c.told, c.gaps, c.unseen, c.spared)
}

// torture is one round.
func (w *world) torture() {
	w.tb.Helper()
	w.tb.Logf("%s", w.replay())
	rnd := w.dice(0)
	if *tortureFocus == "" {
		w.furnish(rnd)
	}
	w.prepare(rnd)
	sides := w.sides(rnd)
	writers, steps := writings().swarm(rnd, plainWrites), *tortureSteps
	if *tortureFocus != "" {
		f := focusOf(w.tb, *tortureFocus)
		writers, sides, steps = writings().focused(f.writes, plainWrites), w.focusedSides(f), cmp.Or(f.steps, steps)
	}
	phases := 2 + rnd.IntN(3)
	for range phases {
		w.phase(writers, sides, steps/phases)
		if w.checkpoint(); w.tb.Failed() {
			return
		}
	}
	w.finish()
}

// furnish adds what not every round has.
func (w *world) furnish(rnd *rand.Rand) {
	w.tb.Helper()
	if rnd.IntN(4) == 0 {
		w.disk = newFillable(w.tb, filepath.Join(w.home, "logs"))
	}
	w.beside = rnd.IntN(3) == 0
	w.linked = rnd.IntN(3) == 0
}

// prepare makes the streams and starts the programs.
func (w *world) prepare(rnd *rand.Rand) {
	w.tb.Helper()
	for i := range 2 + rnd.IntN(4) {
		name := fmt.Sprintf("s%d.log", i)
		w.stream(filepath.Join(w.src, name), name)
		w.lines = append(w.lines, filepath.Join(w.src, name)+","+name)
	}
	last := w.streams[len(w.streams)-1]
	last.lives = &lives{pulse: w.lives.pulse} // it is left out now and then
	if first := w.streams[0]; w.linked {
		first.real = first.target()
		first.link()
	}
	w.configure(w.lines)
	w.startServe()
	w.startAgent()
	for _, a := range w.streams {
		a.createFile()
		a.put(a.out, a.record(a.out, 100))
	}
	for _, a := range w.streams { // what is rotated before the first contact is not copied
		eventually(w.tb, func() string { return "the first contact of " + a.alias }, func() bool { return readFile(a.path) != "" })
	}
	if w.beside {
		w.startReader(w.streams[rnd.IntN(len(w.streams))])
	}
}

// stream adds a followed path.
func (w *world) stream(path, alias string) *actor {
	rnd := w.dice(uint64(100 + len(w.streams)))
	a := &actor{
		oracle: &oracle{truth: &truth{alias: alias}, lives: &w.lives, path: w.copyPath(alias), mixed: *tortureClock > 0},
		w:      w, rnd: rnd, file: path, real: path,
		names: naming(rnd.IntN(int(namings))), keep: 2 + rnd.IntN(10), vocab: vocabulary(rnd),
	}
	w.streams = append(w.streams, a)
	return a
}

// aside returns a folder where nobody looks for siblings.
func (w *world) aside() string {
	dir := filepath.Join(filepath.Dir(w.src), "aside")
	must(os.MkdirAll(dir, 0o755))
	return dir
}

// plan is what happens to one side in a round.
type plan struct {
	*side
	faults grammar[*side]
	pace   int
}

// sides makes plans of the faults of a round.
func (w *world) sides(rnd *rand.Rand) []plan {
	paces := []int{200, 700, 700, 700, 1500, 4000}
	var all []plan
	add := func(name string, g grammar[*side]) {
		if rnd.IntN(8) == 0 {
			return
		}
		s := &side{world: w, name: name, rnd: w.dice(uint64(10 + len(all)))}
		all = append(all, plan{s, g.swarm(rnd, 1), paces[rnd.IntN(len(paces))]})
	}
	add("agent", onAgent())
	add("monitor", onMonitor())
	add("link", onLink())
	if w.disk != nil {
		add("disk", onDisk())
	}
	if *tortureClock > 0 {
		add("clock", onClock())
	}
	return all
}

// focusedSides are the sides to which a focus has something happen.
func (w *world) focusedSides(f focus) (all []plan) {
	add := func(name string, g grammar[*side], weights map[string]int) {
		if g = g.focused(weights, 0); len(g) > 0 {
			s := &side{world: w, name: name, rnd: w.dice(uint64(10 + len(all)))}
			all = append(all, plan{s, g, 700})
		}
	}
	add("agent", onAgent(), f.agent)
	add("monitor", onMonitor(), f.monitor)
	add("link", onLink(), f.link)
	return all
}

// phase lets the writers make so many steps each, while faults happen.
func (w *world) phase(g grammar[*actor], sides []plan, steps int) {
	var writers, faults sync.WaitGroup
	stop := make(chan struct{})
	for _, a := range w.streams {
		faults.Go(func() { a.watch(stop) })
		writers.Go(func() {
			for range steps {
				a.step(g)
			}
		})
	}
	for _, p := range sides {
		p.stop = stop
		faults.Go(func() { p.run(p.faults, p.pace) })
	}
	writers.Wait()
	close(stop)
	faults.Wait()
}

// checkpoint heals everything, waits until the copies are what they must be,
// and judges them.
func (w *world) checkpoint() {
	w.tb.Helper()
	w.log.add("checkpoint")
	w.link.heal()
	w.startServe()
	w.startAgent()
	for _, look := range []func() error{w.quiesce, w.verify, w.checkUsage} {
		if err := look(); err != nil {
			w.tb.Errorf("seed %d: %v", w.seed, err)
			return
		}
	}
	w.count.checks++
}

// quiesce waits until nothing is wrong any more and stays so. What cannot come
// right is an error at once.
func (w *world) quiesce() error {
	var good time.Time
	for deadline := time.Now().Add(*torturePatience); ; time.Sleep(100 * time.Millisecond) {
		all, waits, wrong := w.judgeAll()
		switch {
		case wrong != nil:
			return wrong
		case waits != nil && time.Now().After(deadline):
			return fmt.Errorf("waited %s in vain: %w", *torturePatience, waits)
		case waits != nil:
			good = time.Time{}
		case good.IsZero():
			good = time.Now()
		case time.Since(good) > time.Second: // nothing more came
			return w.acceptAll(all)
		}
	}
}

func (w *world) judgeAll() (all []verdict, waits, wrong error) {
	if !w.agent.running() || !w.serve.running() {
		return nil, nil, fmt.Errorf("a program ended by itself")
	}
	events, err := w.newEvents()
	if err != nil {
		return nil, err, nil
	}
	for _, a := range w.streams {
		v := a.judge(events)
		if v.wrong != nil {
			return nil, nil, v.wrong
		}
		if v.waits != nil {
			waits = v.waits
		}
		v.events = events
		all = append(all, v)
	}
	if w.reader != nil && waits == nil {
		waits, wrong = w.reader.judge()
	}
	return all, waits, wrong
}

func (w *world) acceptAll(all []verdict) error {
	for i, a := range w.streams {
		if err := a.accept(all[i]); err != nil {
			return err
		}
	}
	w.accepted(all[0].events)
	return nil
}

// finish ends a round: all of what is left is proven once more.
func (w *world) finish() {
	w.tb.Helper()
	for _, a := range w.streams {
		a.closeLate()
		a.drop(a.out)
		w.count.bytes += a.bytes
		w.count.told += a.missing
		w.count.unseen += a.unseen
		w.count.spared += a.spared
	}
	w.count.cuts = w.link.cuts
	for _, p := range []*program{&w.agent, &w.serve} {
		for line := range strings.Lines(readFile(p.out.Name())) {
			if strings.Contains(line, "panic") || strings.Contains(line, "fatal error") {
				w.tb.Errorf("%s says: %s", filepath.Base(p.name), line)
			}
		}
	}
	w.tb.Logf("%s", &w.count)
}
