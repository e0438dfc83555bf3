package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"dtc"
)

// disk watches how much room there is above the floor.
type disk struct {
	path    string
	percent int
	now     func() time.Time

	mu   sync.Mutex // guards what follows
	at   time.Time  // of the last look
	room int64      // bytes above the floor
}

// diskLook is how often the file system is asked.
const diskLook = time.Second

// take takes n bytes of room and tells whether there were any.
func (d *disk) take(n int) bool {
	if d.percent < 0 {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); now.Sub(d.at) >= diskLook || now.Before(d.at) {
		d.at = now
		d.look()
	}
	d.room -= int64(n)
	return d.room >= 0
}

func (d *disk) look() {
	free, total, err := diskRoom(d.path)
	if err != nil {
		return // the write itself will say what is wrong
	}
	d.room = int64(min(free, 1<<62)) - int64(min(total, 1<<56)/100)*int64(d.percent)
}

// errFloor says that the disk has reached its floor.
var errFloor = errors.New("the disk is full up to the part that is kept free")

// reasonOf says in words why a stream waits.
func reasonOf(err error) string {
	if noRoom(err) || errors.Is(err, errFloor) {
		return fmt.Sprintf("the monitor cannot store: %v", err)
	}
	return fmt.Sprintf("the monitor cannot use the copy: %v", err)
}

// pausedStreams are the streams that wait for room.
type pausedStreams struct {
	mu   sync.Mutex
	all  map[*stream]bool
	wake chan struct{}
}

// wait makes the stream wait. Its mutex is held.
func (st *stream) wait(why string) {
	if st.pause != "" {
		return
	}
	st.pause = why
	p := &st.store.paused
	p.mu.Lock()
	if p.all == nil {
		p.all = map[*stream]bool{}
	}
	p.all[st] = true
	p.mu.Unlock()
	signal(p.wake)
	if st.owner != nil {
		st.owner.want(wantPaused)
	}
	if !st.hushed {
		st.hushed = true
		st.store.log.Warn("stream waits", "copy", st.dataPath(), "reason", why)
		st.tellDirect(dtc.StatePaused, why)
	}
}

// tellDirect tells an event that needs no room in the side record.
func (st *stream) tellDirect(state dtc.State, why string) {
	st.store.teller.addDirect(st.folder, st.newEvent(st.id+"-"+randomID(), &eventEntry{
		time: st.now(), state: state, reason: why,
	}))
}

// stored notes that bytes could be stored: a pause is over only then.
func (st *stream) stored() {
	if st.hushed {
		st.hushed = false
		st.tellDirect(dtc.StateResumed, "the monitor can store again")
	}
}

// retryPaused is how often streams that wait look for room.
const retryPaused = time.Second

// runPaused looks after the streams that wait, until ctx is done.
func (s *Store) runPaused(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.paused.mu.Lock()
		wait := time.Hour
		if len(s.paused.all) > 0 {
			wait = retryPaused
		}
		s.paused.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.paused.wake:
			continue // a stream more: it waits its second too
		case <-timer.C:
		}
		s.retryAll()
	}
}

// retryAll lets every stream go on for which there is room.
func (s *Store) retryAll() {
	s.paused.mu.Lock()
	all := make([]*stream, 0, len(s.paused.all))
	for st := range s.paused.all {
		all = append(all, st)
	}
	s.paused.mu.Unlock()
	roomy := map[string]bool{} // by folder
	for _, st := range all {
		ok, looked := roomy[st.folder]
		if !looked {
			ok = s.disk.take(0) && s.probe(st.folder) == nil
			roomy[st.folder] = ok
		}
		if ok {
			st.resume()
		}
	}
}

// resume lets the stream go on.
func (st *stream) resume() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.made {
		if _, err := st.open(); err != nil {
			if errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
				st.fail(err)
				st.forgetPause()
			}
			return
		}
	}
	st.forgetPause()
	if st.owner == nil {
		if !st.made {
			st.store.remove(st)
		}
		return
	}
	st.owner.want(wantResumed)
	if st.missed || !st.owner.stated {
		st.missed = false
		st.owner.want(wantState)
	} else if st.c != nil && st.c.last.seq > 0 {
		st.owner.goBack(st.c.last.generation)
		st.owner.ack(st.c.last.generation)
	}
}

func (st *stream) forgetPause() {
	st.pause = ""
	p := &st.store.paused
	p.mu.Lock()
	delete(p.all, st)
	p.mu.Unlock()
}

// probeName is the file with which the store tries whether there is room.
const probeName = ".probe"

// probe tries whether a chunk can be stored in a folder.
func (s *Store) probe(folder string) (err error) {
	if err := makeFolder(s.root, folder); err != nil {
		return err
	}
	name := folder + "/" + probeName
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := createPlain(s.root, name, os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, dtc.MaxChunk))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), s.root.Remove(name))
}
