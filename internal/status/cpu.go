package status

import (
	"context"
	"slices"
	"sync"
	"time"

	"dtc"
)

const (
	// idleEvery is how often the processors' times are read when nobody asks.
	idleEvery = 5 * time.Second

	// window is the least time that the figures cover.
	window = time.Second

	// fresh is how old a reading may be to count as now: many who ask at a time
	// cost one reading.
	fresh = 100 * time.Millisecond
)

// cpuTimes is the time that one processor spent since the boot, in a unit of
// the system's own. User holds guest and nice holds guestNice, as on Linux.
type cpuTimes struct {
	cpu                                                                     string // "0", "1", …
	user, nice, system, idle, iowait, irq, softirq, steal, guest, guestNice float64
}

// cpuSample is all processors' times at one moment.
type cpuSample struct {
	at   time.Time // with the monotonic clock
	cpus []cpuTimes
}

// cpuHistory are the last readings. The newest of them that is a window old is
// what an answer is computed against.
type cpuHistory struct {
	mu      sync.Mutex
	samples []cpuSample // oldest first
}

// Run keeps readings of the processors' times until ctx is done, so that an
// answer comes at once. It returns nil.
func (c *Collector) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		// An error shows when somebody asks.
		_ = c.readings.within(ctx, dtc.StatusCPU, func() { _, _ = c.sampleCPU(ctx) })
		// All that an agent does now and then it does at the same moments, as a
		// waking costs more than the work.
		timer.Reset(time.Until(time.Now().Truncate(idleEvery).Add(idleEvery)))
	}
}

// sampleCPU returns a reading of now, and keeps it.
func (c *Collector) sampleCPU(ctx context.Context) (cpuSample, error) {
	c.cpu.mu.Lock()
	defer c.cpu.mu.Unlock()
	if n := len(c.cpu.samples); n > 0 && time.Since(c.cpu.samples[n-1].at) < fresh {
		return c.cpu.samples[n-1], nil
	}
	cpus, err := c.host.cpuTimes(ctx)
	if err != nil {
		return cpuSample{}, err
	}
	s := cpuSample{at: time.Now(), cpus: cpus}
	c.cpu.add(s)
	return s, nil
}

// add keeps s, and of the older ones what can still be needed: those less than
// a window old, and the newest one that is older.
func (h *cpuHistory) add(s cpuSample) {
	keep := 0
	for i, old := range h.samples {
		if s.at.Sub(old.at) >= window {
			keep = i
		}
	}
	h.samples = append(h.samples[keep:len(h.samples):len(h.samples)], s)
}

// base returns the newest reading that is a window older than s; if there is
// none, the oldest, and false.
func (h *cpuHistory) base(s cpuSample) (cpuSample, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, old := range slices.Backward(h.samples) {
		if s.at.Sub(old.at) >= window {
			return old, true
		}
	}
	if len(h.samples) == 0 {
		return s, false
	}
	return h.samples[0], false
}

// interval returns two readings that are a window or more apart. It waits only
// in the first moments, when there is no old one yet.
func (c *Collector) interval(ctx context.Context) (base, now cpuSample, err error) {
	if now, err = c.sampleCPU(ctx); err != nil {
		return base, now, err
	}
	base, ok := c.cpu.base(now)
	for !ok {
		wait := time.NewTimer(window - now.at.Sub(base.at))
		select {
		case <-ctx.Done():
			wait.Stop()
			return base, now, ctx.Err()
		case <-wait.C:
		}
		if now, err = c.sampleCPU(ctx); err != nil {
			return base, now, err
		}
		base, ok = c.cpu.base(now)
	}
	return base, now, nil
}

// cpus answers what mpstat -P ALL and uptime print.
func (c *Collector) cpus(ctx context.Context) (*dtc.CPU, error) {
	base, now, err := c.interval(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := c.host.cpuFacts(ctx)
	if err != nil {
		return nil, err
	}
	answer.IntervalSeconds = now.at.Sub(base.at).Seconds()
	answer.Percent = percentages(base.cpus, now.cpus)
	return answer, nil
}

// percentages computes shares of the time between two readings: first those of
// all processors together, then each that is in both readings.
func percentages(base, now []cpuTimes) []dtc.CPUPercent {
	all := cpuTimes{cpu: "all"}
	list := make([]dtc.CPUPercent, 1, 1+len(now))
	before := make(map[string]*cpuTimes, len(base))
	for i := range base {
		before[base[i].cpu] = &base[i]
	}
	for i := range now {
		old, ok := before[now[i].cpu]
		if !ok {
			continue
		}
		d := now[i].minus(old)
		all.plus(&d)
		list = append(list, d.percent())
	}
	list[0] = all.percent()
	return list
}

// minus is what was spent since old. Some counters of Linux can fall: that
// counts as nothing spent.
func (t *cpuTimes) minus(old *cpuTimes) cpuTimes {
	d := func(now, before float64) float64 { return max(0, now-before) }
	return cpuTimes{
		cpu: t.cpu, user: d(t.user, old.user), nice: d(t.nice, old.nice), system: d(t.system, old.system),
		idle: d(t.idle, old.idle), iowait: d(t.iowait, old.iowait), irq: d(t.irq, old.irq), softirq: d(t.softirq, old.softirq),
		steal: d(t.steal, old.steal), guest: d(t.guest, old.guest), guestNice: d(t.guestNice, old.guestNice),
	}
}

func (t *cpuTimes) plus(d *cpuTimes) {
	t.user += d.user
	t.nice += d.nice
	t.system += d.system
	t.idle += d.idle
	t.iowait += d.iowait
	t.irq += d.irq
	t.softirq += d.softirq
	t.steal += d.steal
	t.guest += d.guest
	t.guestNice += d.guestNice
}

// percent is the line of mpstat: the time of guests is not in that of users
// there.
func (t *cpuTimes) percent() dtc.CPUPercent {
	// A counter that the system does not have is NaN, and stays it.
	total := 0.0
	for _, v := range []float64{t.user, t.nice, t.system, t.idle, t.iowait, t.irq, t.softirq, t.steal} {
		if v > 0 {
			total += v
		}
	}
	share := func(v float64) float64 { return 100 * v / total }
	if total == 0 {
		// A processor that sleeps without a tick changes nothing.
		total, t.idle = 1, 1
	}
	return dtc.CPUPercent{
		CPU: t.cpu, User: share(less(t.user, t.guest)), Nice: share(less(t.nice, t.guestNice)), System: share(t.system),
		IOWait: share(t.iowait), IRQ: share(t.irq), SoftIRQ: share(t.softirq), Steal: share(t.steal),
		Guest: share(t.guest), GuestNice: share(t.guestNice), Idle: share(t.idle),
	}
}

// less is v without part, if part is known.
func less(v, part float64) float64 {
	if part > 0 {
		return max(0, v-part)
	}
	return v
}
