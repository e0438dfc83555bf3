package watch

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// run writes what is marked until ctx is done, and then what is left.
func (j *journal) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { j.syncWhileWritten(ctx) })
	defer j.close()
	due := newAlarm()
	defer due.Stop()
	if j.failed {
		due.set(j.retry)
	}
	for {
		select {
		case <-ctx.Done():
			j.save()
			return
		case <-j.later:
			due.set(journalDelay)
		case <-j.urgent:
			if j.save(); j.bloated(journalTimes) {
				due.set(journalDelay)
			}
		case <-due.C:
			due.isSet = false
			j.saveOrBegin()
		}
		if j.failed {
			due.set(j.retry)
		}
	}
}

// alarm is a timer that keeps to the time for which it was set first.
type alarm struct {
	*time.Timer

	isSet bool
}

func newAlarm() *alarm {
	a := &alarm{Timer: time.NewTimer(time.Hour)}
	a.Stop()
	return a
}

func (a *alarm) set(d time.Duration) {
	if !a.isSet {
		a.isSet = true
		a.Reset(d)
	}
}

// save writes what is marked.
func (j *journal) save() {
	changes := j.take(whatChanged)
	if j.failed {
		j.reached(changes.upTo, rests)
		return
	}
	if !changes.empty() {
		changes.write(j.out)
		size, err := j.out.flush()
		j.size += size
		if err != nil {
			j.fail(err, changes.upTo)
			return
		}
		signal(j.synced)
	}
	j.reached(changes.upTo, works)
	if j.bloated(journalTimes * journalMost) {
		j.begin(j.head)
	}
}

// saveOrBegin is save in a moment when nobody waits, which is the time to write
// a file anew.
func (j *journal) saveOrBegin() {
	if j.failed || j.bloated(journalTimes) {
		j.begin(j.head)
		return
	}
	j.save()
}

// bloated says whether the file is long, and so many times longer than what it
// began with.
func (j *journal) bloated(times int64) bool {
	return !j.failed && j.size > journalLong && j.size > times*j.compacted
}

// syncWhileWritten makes what is written durable, a moment later, and then
// removes the files that it stands for.
func (j *journal) syncWhileWritten(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.synced:
		}
		timer := time.NewTimer(journalSync)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		j.sync()
	}
}

func (j *journal) sync() {
	j.mu.Lock()
	file, number := j.file, j.number
	j.mu.Unlock()
	if file == nil {
		return
	}
	if err := file.Sync(); errors.Is(err, os.ErrClosed) {
		signal(j.synced) // a newer one has taken its place
		return
	} else if err != nil {
		j.log.Warn("what is remembered of watched processes may not survive a power loss", "folder", j.path, "err", err)
		return
	}
	syncFolder(j.path)
	var err error
	j.do(func() { err = removeBefore(j.path, number) })
	if err != nil {
		j.log.Warn("cannot remove an old record of watched processes", "folder", j.path, "err", err)
	}
}
