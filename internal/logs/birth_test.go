package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBirths has the first bytes of many new copies come in a row: no byte is
// there before the records of all are safe, by one syncfs or, where that fails,
// each by itself.
func TestBirths(t *testing.T) {
	for _, fails := range []error{nil, errors.New("no syncfs")} {
		t.Run(fmt.Sprint(fails), func(t *testing.T) {
			const n = 300
			var rounds atomic.Int32
			var early atomic.Int64 // bytes before the first syncfs of many
			dir := ""
			r := newRig(t, func(o *Options) {
				o.sync = syncData
				o.syncfs = func(f *os.File) error {
					if strings.HasSuffix(f.Name(), lockName) {
						return fails // the syncer's, which is told of each failed write by its own descriptor
					}
					if rounds.Add(1) == 1 {
						early.Store(bytesOf(dir))
					}
					return fails
				}
			})
			dir = r.path("")
			a := r.connect(peerA)
			for i := range uint32(n) {
				a.attach(i+1, fmt.Sprintf("f%d.log", i))
			}
			st, err := r.find(peerA, "f0.log")
			check(t, err)
			st.mu.Lock() // so that the frames come faster than they are handled
			time.AfterFunc(100*time.Millisecond, st.mu.Unlock)
			for i := range uint32(n) {
				a.open(i+1, 1, fmt.Sprint("file ", i))
				a.append(i+1, 1, 0, fmt.Sprintf("the first line of %d\n", i))
			}
			a.ping()
			a.append(7, 1, len("the first line of 6\n"), "the second\n")
			a.ping()
			for i := range n {
				want := fmt.Sprintf("the first line of %d\n", i)
				if i == 6 {
					want += "the second\n"
				}
				if got := r.content(fmt.Sprintf("f%d.log", i)); got != want {
					t.Fatalf("f%d.log: %q", i, got)
				}
			}
			if rounds.Load() == 0 {
				t.Error("the copies did not wait for each other")
			}
			if fails == nil && early.Load() > 0 {
				t.Errorf("%d bytes were there before the records were safe", early.Load())
			}
		})
	}
}

// TestBirthPowerLoss has the power fail while the syncer makes a first extent
// safe: no mark may have reached the disk before it.
func TestBirthPowerLoss(t *testing.T) {
	var mu sync.Mutex
	var safe []byte // the side record as it was synced last
	var lost []error
	r := newRig(t, func(o *Options) {
		o.syncfs = func(*os.File) error { return errors.New("no syncfs") }
		o.sync = func(f *os.File) error {
			mu.Lock()
			defer mu.Unlock()
			now, err := readSide(f)
			if err != nil || !bytes.HasPrefix(now, []byte(magic[:19])) {
				return errors.Join(err, syncData(f))
			}
			if len(safe) > journalStart {
				// The slots are on the disk already, the journal is not.
				_, err := parseSide(append(bytes.Clone(now[:journalStart]), safe[journalStart:]...), withoutArrivals)
				lost = append(lost, err)
			}
			safe = now
			return syncData(f)
		}
	})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.ping()
	st := r.stream("app.log")
	clean := func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.c != nil && st.c.dirty.IsZero() && !st.syncing
	}
	eventually(t, "the generation is safe", clean)
	st.mu.Lock()
	check(t, st.update(func(c *replica) error { return errors.Join(c.ready(), c.declare(c.find(1))) }))
	st.mu.Unlock()
	eventually(t, "the extent is safe", clean)
	mu.Lock()
	defer mu.Unlock()
	if err := errors.Join(lost...); err != nil || len(lost) == 0 {
		t.Fatalf("after a power loss: %v", err)
	}
}

// bytesOf returns how much is in the copies of a folder.
func bytesOf(dir string) (n int64) {
	paths, _ := filepath.Glob(filepath.Join(dir, "f*.log"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			n += info.Size()
		}
	}
	return n
}
