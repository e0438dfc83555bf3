package watch

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"
)

// How often the agent writes down that it lives, while it watches anything. A
// waking costs the same however few there are, but with thousands to watch the
// agent has other work too.
const (
	beatInterval     = 2 * time.Second
	beatIntervalMany = 5 * time.Second
	beatMany         = 1000 // processes

	// beatSlack is how long an end takes at most to get into the journal, while
	// nothing keeps the agent from its work.
	beatSlack = 200 * time.Millisecond
)

// beats writes signs of life until ctx is done. Each says that the ends of
// before a moment are all in the journal.
func (w *Watcher) beats(ctx context.Context) {
	defer w.journal.closeAlive()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.watching:
		}
		w.beatWhileAny(ctx)
	}
}

func (w *Watcher) beatWhileAny(ctx context.Context) {
	w.mu.Lock()
	began := w.heldSince - beatSlack
	w.mu.Unlock()
	w.writeAlive(clock{now: began, today: readClock().wall(began)})
	timer := time.NewTimer(beatInterval)
	defer timer.Stop()
	w.works(beatInterval)
	defer w.rests()
	for last, every := now(), beatInterval; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.forgetOld()
		moment := readClock()
		watched, behind := w.watched()
		if watched == 0 {
			return
		}
		// Whoever is woken late was kept from working: what ended meanwhile is
		// about to be noticed, and the sign of before is the one that is true.
		if moment.now-last < every+beatSlack && !behind {
			w.writeAlive(moment.before(w.slack()))
		}
		if last, every = moment.now, beatInterval; watched >= beatMany {
			every = beatIntervalMany
		}
		next := untilNext(every)
		w.works(next)
		timer.Reset(next)
	}
}

// works notes that the agent works now, and says so again after a time.
func (w *Watcher) works(next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now()
	w.stood.works(at, at+next)
}

func (w *Watcher) rests() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stood.rests()
}

// untilNext is the time to the next moment of a row, which is the same for all
// that an agent does now and then: a waking costs more than the work.
func untilNext(every time.Duration) time.Duration {
	return time.Until(time.Now().Truncate(every).Add(every))
}

// watched returns how many processes are watched, and whether the journal has
// not yet all that was seen of them.
func (w *Watcher) watched() (n int, behind bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held), w.journal.behind(w.place)
}

// slack is how long it takes at most from an end to the journal.
func (w *Watcher) slack() time.Duration {
	if w.poll.any() {
		return pollInterval + beatSlack
	}
	return beatSlack
}

func (w *Watcher) writeAlive(moment clock) {
	err := w.journal.writeAlive(lastAlive{
		Boot: text(w.boot), SinceBoot: max(0, int64(moment.now)), Wall: moment.today.UnixNano(),
	})
	if err != nil && !w.beatFailed {
		w.log.Warn("cannot write down that the agent lives: after a restart the bounds of an end that nobody saw are wider", "err", err)
	}
	w.beatFailed = err != nil
}

// json returns l as it stands in its file.
func (l lastAlive) json() []byte {
	b, _ := json.Marshal(l) // it has nothing that could not be
	return b
}

// readAlive reads the last sign of life; zero if there is none.
func (j *journal) readAlive() lastAlive {
	file, err := openRegular(filepath.Join(j.path, aliveName), os.O_RDONLY)
	if err != nil {
		return lastAlive{}
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 4<<10))
	if err != nil {
		return lastAlive{}
	}
	return parseAlive(data)
}

func parseAlive(data []byte) lastAlive {
	var l lastAlive
	if json.Unmarshal(data, &l) != nil || !short(l.Boot) || l.SinceBoot < 0 {
		return lastAlive{}
	}
	return l
}

// forgetAfter is how long a session is kept whose asker does not come back.
const forgetAfter = 30 * 24 * time.Hour

// forgetOld drops the sessions whose asker has been away for too long.
func (w *Watcher) forgetOld() {
	w.mu.Lock()
	var alone []*process
	for _, s := range w.sessions {
		if s.calls == 0 && now()-s.left > forgetAfter {
			alone = append(alone, w.forget(s, "nobody has asked for them for a month")...)
		}
	}
	w.mu.Unlock()
	w.release(alone)
}
