package ship

import (
	"fmt"
	"os"
	"testing"
	"time"

	"dtc/internal/logs"
)

// unseen does what it does between two looks of a running agent.
func (w *world) unseen(do func()) {
	w.t.Helper()
	w.shipper.rounds.Lock()
	defer w.shipper.rounds.Unlock()
	do()
}

// cascade renames every sibling of app.log to the next number, archives as they
// are, and app.log to app.log.1.
func (w *world) cascade() {
	w.t.Helper()
	for k := 8; k > 0; k-- {
		for _, ext := range append([]archiver{{}}, archivers()...) {
			from := fmt.Sprintf("app.log.%d%s", k, ext.ext)
			if _, err := os.Stat(w.path(from)); err == nil {
				w.rename(from, fmt.Sprintf("app.log.%d%s", k+1, ext.ext))
			}
		}
	}
	w.rename("app.log", "app.log.1")
}

// caughtUp waits until the monitor says that it has everything.
func (w *world) caughtUp() {
	w.t.Helper()
	var all []logs.StreamInfo
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		all = w.store.Streams()
		if len(all) == 1 && all[0].Lag != nil && *all[0].Lag == 0 {
			return
		}
	}
	w.t.Fatalf("a lag stays: %+v", all)
}

// A file that is made, written, rotated and compressed between two looks of a
// running agent is sent from its archive, in its place.
func TestArchiveOfUnseenFileWhileRunning(t *testing.T) {
	t.Parallel()
	for _, a := range archivers() {
		for _, size := range []int{50, 3000, 2_000_000} {
			t.Run(fmt.Sprintf("%s/%d", a.ext[1:], size), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, appLog())
				wr := w.writer("app.log")
				all := wr.lines(20)
				w.start()
				w.shipper.finder.doubt = 60 * time.Second // also when the machine is busy
				w.up()
				w.wait("app.log", all)
				for range 2 {
					w.unseen(func() {
						all = append(all, wr.lines(5)...)
						w.cascade()
						wr.reopen()
						all = append(all, wr.text(size)...)
						w.cascade()
						wr.reopen()
						a.pack(w, "app.log.1")
						all = append(all, wr.lines(3)...)
					})
					w.wait("app.log", all)
				}
				all = append(all, wr.lines(3)...)
				w.still("app.log", all)
				w.silent()
				w.caughtUp()
			})
		}
	}
}

// Several files in a row that nobody saw, some compressed and some not.
func TestArchivesInCascadeWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.lines(20)
	w.start()
	w.shipper.finder.doubt = 60 * time.Second
	w.up()
	w.wait("app.log", all)
	w.unseen(func() {
		for i := range 4 {
			w.cascade()
			wr.reopen()
			all = append(all, wr.text(500)...)
			if i%2 == 1 {
				archivers()[i/2].pack(w, "app.log.1")
			}
		}
		w.cascade()
		wr.reopen()
		all = append(all, wr.lines(3)...)
	})
	w.still("app.log", all)
	w.silent()
	w.caughtUp()
}

// An archive that cannot be read, and is of nothing that is known, is told.
func TestUnreadableArchiveWhileRunningIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.lines(20)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.unseen(func() {
		w.cascade()
		wr.reopen()
		wr.text(500)
		w.cascade()
		wr.reopen()
		w.shell("rm app.log.1; printf '\\004\\042\\115\\030 what lz4 makes' >app.log.1.lz4")
		all = append(all, wr.lines(3)...)
	})
	w.still("app.log", all)
	w.oneGap()
}

// The ordinary dance of a rotation with archives brings nothing twice, and
// nothing is told, however much of it happens between two looks.
func TestOrdinaryArchivesWhileRunning(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		for name, dance := range map[string]func(w *world, a archiver, k int){
			"compress": func(w *world, a archiver, _ int) { a.pack(w, "app.log.1") },
			"delay": func(w *world, a archiver, k int) {
				if k > 0 {
					a.pack(w, "app.log.2")
				}
			},
			"redirect": func(w *world, _ archiver, _ int) { w.shell("gzip -c app.log.1 >app.log.1.gz; rm app.log.1") },
			"foreign": func(w *world, a archiver, _ int) {
				w.shell(`for f in app.log.[0-9]; do ` + a.argv[0] + ` -q $f; done; rm -f app.log.[0-9]`)
			},
		} {
			t.Run(fmt.Sprintf("%s/%v", name, held), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, appLog())
				wr := w.writer("app.log")
				var all []byte
				if name == "foreign" { // what was there before the first contact is not wanted
					wr.text(500)
					w.cascade()
					wr.reopen()
					wr.text(5000)
					w.cascade()
					wr.reopen()
				}
				all = append(all, wr.lines(20)...)
				w.start()
				w.up()
				w.wait("app.log", all)
				for k := range 6 {
					turn := func() {
						all = append(all, wr.lines(k%3*200)...)
						w.cascade()
						wr.reopen()
						all = append(all, wr.lines(2)...)
						dance(w, archivers()[k%4], k)
					}
					if held {
						w.unseen(turn)
					} else {
						turn()
					}
					w.wait("app.log", all)
					if k == 3 {
						w.kill()
						w.start()
						w.up()
					}
				}
				w.still("app.log", all)
				w.silent()
				w.caughtUp()
			})
		}
	}
}
