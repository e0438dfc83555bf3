package watch

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

const (
	// drainPatience is how long the telling of an end may wait for the reading of
	// the kernel's log. What came before is read at each round of the sampler. Before
	// the line with the victim the kernel lists all processes, and a machine that is
	// out of memory is slow.
	drainPatience = 20 * time.Millisecond

	maxVictims = 1024        // that are remembered
	victimFor  = time.Minute // how long one may take to end
	settlesIn  = fewEach     // see killCounter
	maxGroups  = 1024        // of control groups
)

// oomWatch knows whom the kernel killed because it was out of memory: by the
// kernel's log, which names the pid; where that may not be read, or has other
// pids than ours, by the counters of the control groups.
type oomWatch struct {
	slog *slog.Logger
	open func() (*proc.KernelLog, error)

	mu       sync.Mutex // guards what follows
	ready    bool       // what can be opened is open
	warned   bool
	log      *proc.KernelLog // nil: by the counters
	victims  []victim        // that nobody has asked for, the oldest first
	groups   *proc.MemoryGroups
	counters map[string]*killCounter // by their files
	kills    uint64                  // of the whole machine, at the last refresh
}

// victim is a process that the kernel's log names.
type victim struct {
	pid int
	at  time.Duration // since boot, when the log was read
}

// killCounter counts the processes of one control group that the kernel killed.
// It names none: of those that end by SIGKILL while a kill is not older than
// settlesIn, as many count as killed for that as the counter has grown.
type killCounter struct {
	file    string
	settled uint64        // what it said before
	count   uint64        // what it says
	at      time.Duration // since boot, when it grew
	told    uint64        // ends that were told to be of the kills between the two
}

func newOOMWatch(log *slog.Logger) *oomWatch {
	return &oomWatch{slog: log, open: proc.OpenKernelLog}
}

// attach notes where the end of a process will be looked for. It may be called
// again: a process may have been moved to another group.
func (o *oomWatch) attach(p *process) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin()
	if o.groups == nil {
		return
	}
	file, err := o.groups.Counter(p.id.PID)
	switch {
	case err != nil:
	case p.kills == nil || p.kills.file != file:
		p.kills = o.counter(file)
	}
}

// begin opens what can be opened, once there is a process to watch.
func (o *oomWatch) begin() {
	if o.ready {
		return
	}
	o.ready = true
	log, err := o.open()
	if err == nil {
		o.log = log
		return
	}
	groups, gerr := proc.Default.MemoryGroups()
	switch {
	case o.warned:
	case gerr != nil:
		o.slog.Warn("cannot tell of a process that the kernel killed it because it was out of memory", "err", err, "nor", gerr)
	default:
		o.slog.Info("by the counters of control groups it is told whom the kernel killed because it was out of memory", "err", err)
	}
	o.warned = true
	if gerr == nil {
		o.groups, o.counters = groups, map[string]*killCounter{}
		o.kills, _ = proc.Default.OOMKills()
	}
}

// counter returns the counter of a file, nil if it cannot be read.
func (o *oomWatch) counter(file string) *killCounter {
	if c := o.counters[file]; c != nil {
		return c
	}
	count, err := proc.ReadOOMKills(file)
	if err != nil || len(o.counters) >= maxGroups && !o.forget() {
		return nil
	}
	c := &killCounter{file: file, settled: count, count: count}
	o.counters[file] = c
	return c
}

// forget drops the counters of groups that are gone, and says whether there is
// room again.
func (o *oomWatch) forget() bool {
	for file := range o.counters {
		if _, err := proc.ReadOOMKills(file); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			delete(o.counters, file)
		}
	}
	return len(o.counters) < maxGroups
}

// killed says whether the kernel killed a process, that ended so at a time since
// boot, because it was out of memory.
func (o *oomWatch) killed(p *process, exit dtc.Exit, at time.Duration) bool {
	sure := exit.Kind == dtc.ExitSignal && exit.Number == int(unix.SIGKILL)
	if !sure && exit.Kind != dtc.ExitUnknown {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log != nil {
		// The kernel writes the line while it holds the lock that the victim has
		// to take before it can end: the line is there by now.
		o.drain()
		return o.take(p, at)
	}
	return sure && p.kills != nil && p.kills.takeOne(now())
}

// drain reads what is new in the kernel's log.
func (o *oomWatch) drain() {
	o.log.Drain(drainPatience, func(record []byte) {
		if pid, ok := proc.OOMVictim(record); ok {
			o.note(pid, now())
		}
	})
}

// note remembers a victim.
func (o *oomWatch) note(pid int, at time.Duration) {
	o.victims = slices.DeleteFunc(o.victims, func(v victim) bool { return at-v.at > victimFor })
	if len(o.victims) >= maxVictims {
		o.victims = slices.Delete(o.victims, 0, 1)
	}
	o.victims = append(o.victims, victim{pid, at})
}

// take says whether a process that ended at a time is one of the victims, which
// it is no longer then. One that started after the log was read has only its
// pid.
func (o *oomWatch) take(p *process, at time.Duration) bool {
	before := len(o.victims)
	o.victims = slices.DeleteFunc(o.victims, func(v victim) bool {
		return v.pid == p.id.PID && p.began <= v.at && at-v.at <= victimFor
	})
	return len(o.victims) < before
}

// takeOne reads the counter, and says whether it has grown by more than was
// told.
func (c *killCounter) takeOne(at time.Duration) bool {
	c.read(at)
	if c.count <= c.settled+c.told {
		return false
	}
	c.told++
	return true
}

// read reads the counter; settled follows once it has not grown for a while.
func (c *killCounter) read(at time.Duration) {
	count, err := proc.ReadOOMKills(c.file)
	if err == nil && count != c.count {
		c.count, c.at = count, at
	}
	if c.settled != c.count && at-c.at > settlesIn {
		c.settled, c.told = c.count, 0
	}
}

// refresh reads what is to be read now and then, so that an end need not wait
// for it.
func (o *oomWatch) refresh() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log != nil {
		o.drain()
	}
	if o.groups == nil {
		return
	}
	// One file for the whole machine says whether any counter has grown.
	kills, err := proc.Default.OOMKills()
	grown := err != nil || kills != o.kills
	o.kills = kills
	for _, c := range o.counters {
		if grown || c.settled != c.count {
			c.read(now())
		}
	}
}

// counts says whether the counters are all there is: it is to be seen soon that
// one has grown, or the end of another process is taken for that kill.
func (o *oomWatch) counts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.groups != nil
}

// rest gives back what is open, until there is a process again.
func (o *oomWatch) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log != nil {
		_ = o.log.Close()
	}
	o.ready, o.log, o.victims, o.groups, o.counters = false, nil, nil, nil, nil
}
