package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"dtc"
	"dtc/internal/config"
)

// Times of an outage.
const (
	outageAfter = 3 * time.Second // so long nothing can be written before somebody is told
	outageRetry = time.Second     // so often it is looked whether that is over
	outageQuiet = 8 * time.Second // a host that has more to tell has tried again by then
)

// outage is that what happens on some hosts cannot be recorded, for want of room
// or whatever reason. The operator is told without a record, which follows when
// there can be one.
type outage struct {
	m    *Monitor
	wake chan struct{} // of capacity 1: a host has begun to fail, or has ceased to

	mu      sync.Mutex
	failing map[netip.AddrPort]failure // guarded by mu; of whom an event could not be recorded

	// These are of run alone.
	told    bool       // that it is paused, and not that it goes on
	paused  *dtc.Event // told, and not recorded; nil if there is none
	resumed *dtc.Event // likewise not recorded yet, and told by that
	folder  string     // of these records
}

// failure is why the events of a host cannot be recorded.
type failure struct {
	since, last time.Time
	err         error
}

func newOutage(m *Monitor) *outage {
	return &outage{m: m, wake: make(chan struct{}, 1), failing: map[netip.AddrPort]failure{}}
}

// failed notes that an event of a host could not be recorded.
func (o *outage) failed(host netip.AddrPort, err error) {
	now := time.Now()
	o.mu.Lock()
	f, known := o.failing[host]
	if !known {
		f.since = now
	}
	f.last, f.err = now, err
	o.failing[host] = f
	o.mu.Unlock()
	if !known {
		o.rouse()
	}
}

// worked notes that one could, or that nobody asks any more.
func (o *outage) worked(host netip.AddrPort) {
	o.mu.Lock()
	_, known := o.failing[host]
	delete(o.failing, host)
	o.mu.Unlock()
	if known {
		o.rouse()
	}
}

func (o *outage) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run tells of outages until ctx is done.
func (o *outage) run(ctx context.Context) error {
	o.told = o.m.notifier != nil && o.m.notifier.IsOpen(&dtc.Event{Kind: dtc.EventHost, State: dtc.StatePaused})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-o.wake:
		}
		if next := o.look(time.Now()); next > 0 {
			timer.Reset(next)
		}
	}
}

// look tells what there is to tell, and returns when it is to be called again; 0
// if only when it is woken.
func (o *outage) look(now time.Time) time.Duration {
	f, host, some := o.worst(now)
	switch wait := f.since.Add(outageAfter).Sub(now); {
	case some && !o.told && wait > 0:
		return wait
	case some && !o.told:
		o.pause(f, host, now)
	case some:
		o.settle()
	case o.told:
		o.resume(now)
	}
	if !some && !o.told {
		return 0
	}
	return outageRetry
}

// worst returns the host that has been failing for longest. One that has not
// tried again may have nothing more to tell: then it is tried for it.
func (o *outage) worst(now time.Time) (worst failure, at netip.AddrPort, some bool) {
	for host, f := range o.all() {
		due := now.Sub(f.since) >= outageAfter
		if due && (f.last.Equal(f.since) || now.Sub(f.last) > outageQuiet) && o.writable(host, f) {
			continue
		}
		if !some || f.since.Before(worst.since) {
			worst, at, some = f, host, true
		}
	}
	return worst, at, some
}

func (o *outage) all() map[netip.AddrPort]failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.failing)
}

// writable says whether events of a host could be written again, and then takes
// its failure for over, unless there has been another.
func (o *outage) writable(host netip.AddrPort, f failure) bool {
	if o.m.events.Try(config.FolderName(host.Addr())) != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing[host].last.After(f.last) {
		return false
	}
	delete(o.failing, host)
	return true
}

// pause tells that events cannot be recorded.
func (o *outage) pause(f failure, host netip.AddrPort, now time.Time) {
	why := f.err
	if wrong, ok := errors.AsType[*fs.PathError](f.err); ok {
		why = wrong.Err // what is in the way, without where: that is said already
	}
	e := dtc.Event{
		ID: o.m.nextID(), Time: now, Kind: dtc.EventHost, State: dtc.StatePaused,
		Reason: fmt.Sprintf("events cannot be written to logs/%s: %v; ends wait on their hosts and are told when there is room",
			config.FolderName(host.Addr()), why),
	}
	o.folder = o.m.own(&e)
	o.told, o.paused = true, &e
	o.m.log.Error("events cannot be recorded; whoever is to know is told", "reason", e.Reason)
	if o.m.notifier != nil {
		o.m.notifier.Tell(e)
	}
	o.settle()
}

// settle records that it is paused, and says whether that is done.
func (o *outage) settle() bool {
	if o.paused == nil {
		return true
	}
	if err := o.m.record(o.folder, *o.paused); err != nil {
		return false
	}
	o.paused = nil
	return true
}

// resume records that it goes on, and by that tells it: it has not before that
// can be written.
func (o *outage) resume(now time.Time) {
	if !o.settle() {
		return
	}
	if o.resumed == nil {
		o.resumed = &dtc.Event{
			ID: o.m.nextID(), Kind: dtc.EventHost, State: dtc.StateResumed,
			Reason: "events are written again",
		}
		o.folder = o.m.own(o.resumed)
	}
	o.resumed.Time = now
	if err := o.m.record(o.folder, *o.resumed); err != nil {
		return
	}
	o.told, o.resumed = false, nil
	o.m.log.Info("events are recorded again")
}

// nextID returns an id that no other event has.
func (m *Monitor) nextID() string { return m.run + "-" + strconv.FormatUint(m.number.Add(1), 10) }

// own makes an event one of the monitor itself, and returns the folder of its
// record.
func (m *Monitor) own(e *dtc.Event) (folder string) {
	cfg, _ := m.config()
	own := cfg.LocalHost.Addr()
	if !own.IsValid() || own.IsUnspecified() {
		own = loopbackAddr()
	}
	e.Host, e.Address = "monitor", own.String()
	for _, h := range cfg.Hosts {
		if h.Address.Addr() == own {
			e.Host, e.Address = h.Name, h.Address.String()
			break
		}
	}
	return config.FolderName(own)
}
