package ship

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dtc"
)

// packer of a format: a program that replaces a file by its archive.
type archiver struct {
	ext  string
	argv []string
}

func archivers() []archiver {
	return []archiver{
		{".gz", []string{"gzip"}},
		{".bz2", []string{"bzip2"}},
		{".xz", []string{"xz"}},
		{".zst", []string{"zstd", "-q", "--rm"}},
	}
}

func (a archiver) pack(w *world, name string) {
	w.t.Helper()
	w.command(append(a.argv, name)...)
}

// command runs a program in the folder of the sources.
func (w *world) command(argv ...string) []byte {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), argv[0], argv[1:]...)
	cmd.Dir = w.src
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v: %s", argv, err, out)
	}
	return out
}

func (w *world) shell(line string) { w.t.Helper(); w.command("sh", "-c", line) }

// silent checks that nothing was told.
func (w *world) silent() {
	w.t.Helper()
	if e := w.told(""); len(e) != 0 {
		w.t.Fatalf("events: %+v", e)
	}
}

// oneGap checks that one gap was told, and nothing else.
func (w *world) oneGap() dtc.Event {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(w.told(dtc.StateGap)) == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	e := w.wantEvents(dtc.StateGap, 1)[0]
	if all := w.told(""); len(all) != 1 {
		w.t.Fatalf("events: %+v", all)
	}
	return e
}

// text is n bytes of lines that are like no others.
func (wr *writer) text(n int) []byte {
	wr.t.Helper()
	var b []byte
	for len(b) < n {
		b = append(b, wr.lines(n/64+1)...)
	}
	return b
}

// What was rotated and compressed while no agent ran is sent on from where the
// copy ends, however much of it there was before and after.
func TestArchiveAfterRestart(t *testing.T) {
	t.Parallel()
	for _, a := range archivers() {
		for _, size := range [][2]int{{50, 50}, {2000, 0}, {200_000, 1_500_000}, {1_500_000, 200_000}} {
			t.Run(fmt.Sprintf("%s/%d", a.ext[1:], size), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, appLog())
				wr := w.writer("app.log")
				all := wr.text(size[0])
				w.start()
				w.up()
				w.wait("app.log", all)
				w.kill()
				if size[1] > 0 {
					all = append(all, wr.text(size[1])...)
				}
				w.rotate("app.log")
				wr.reopen()
				a.pack(w, "app.log.1")
				all = append(all, wr.lines(10)...)
				w.start()
				w.up()
				w.wait("app.log", all)
				all = append(all, wr.lines(10)...)
				w.still("app.log", all)
				w.silent()
				w.kill() // what was found once is not found again
				w.start()
				w.up()
				all = append(all, wr.lines(10)...)
				w.still("app.log", all)
				w.silent()
				w.released(1)
			})
		}
	}
}

// released waits until as many files are held.
func (w *world) released(n int) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for w.shipper.host.Opened() != n && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := w.shipper.host.Opened(); got != n {
		w.t.Fatalf("%d files held, want %d", got, n)
	}
}

// Several rotations that nobody saw are told from each other by their names,
// whichever of them are compressed: all are sent, in order, and none twice.
func TestArchivesOfUnseenFiles(t *testing.T) {
	t.Parallel()
	names := map[string]func(k int) string{ // of the k-th newest of three
		"numbers": func(k int) string { return fmt.Sprintf("app.log.%d", k) },
		"dates":   func(k int) string { return fmt.Sprintf("app.log-2026112%d", 4-k) },
		"hours":   func(k int) string { return fmt.Sprintf("app-20261122%02d.log", 13-k) },
		"counts":  func(k int) string { return fmt.Sprintf("app.2026-11-22.%d.log", 12-k) },
	}
	for scheme, name := range names {
		for _, plain := range []int{0, 1, 2} { // how many of the newest are not compressed
			t.Run(fmt.Sprintf("%s/%d", scheme, plain), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, appLog())
				wr := w.writer("app.log")
				shift := func() {
					for k := 3; k > 0; k-- {
						for _, ext := range []string{"", ".gz", ".xz", ".zst", ".bz2"} {
							_ = os.Rename(w.path(name(k))+ext, w.path(name(k+1))+ext)
						}
					}
					w.rename("app.log", name(1))
					wr.reopen()
				}
				wr.lines(40) // before the first contact
				shift()
				w.command("gzip", name(1))
				all := wr.text(100_000)
				w.start()
				w.up()
				w.wait("app.log", all)
				all = append(all, wr.lines(10)...) // sent whole, and sealed
				shift()
				all = append(all, wr.lines(10)...)
				w.wait("app.log", all)
				w.command("xz", name(1))
				w.released(1)
				w.kill()
				for k := range 3 {
					all = append(all, wr.text(20_000+k)...)
					shift()
					if k < 3-plain {
						archivers()[k].pack(w, name(1))
					}
					time.Sleep(12 * time.Millisecond)
				}
				all = append(all, wr.lines(5)...)
				w.start()
				w.up()
				w.wait("app.log", all)
				all = append(all, wr.lines(5)...)
				w.still("app.log", all)
				w.silent()
				w.kill()
				w.start()
				w.up()
				all = append(all, wr.lines(5)...)
				w.still("app.log", all)
				w.silent()
			})
		}
	}
}

// While the archive is still being written nothing is given up.
func TestArchiveStillWritten(t *testing.T) {
	t.Parallel()
	for _, a := range archivers() {
		t.Run(a.ext[1:], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			wr := w.writer("app.log")
			before := wr.text(100_000)
			w.start()
			w.up()
			w.wait("app.log", before)
			w.kill()
			rest := wr.text(1_000_000)
			w.rotate("app.log")
			wr.reopen()
			a.pack(w, "app.log.1")
			packed, err := os.ReadFile(w.path("app.log.1" + a.ext))
			if err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(w.path("app.log.1" + a.ext))
			f, err := os.Create(w.path("app.log.1" + a.ext))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			half := len(packed) / 2
			_, _ = f.Write(packed[:half])
			late := wr.lines(10)
			w.start()
			w.up()
			time.Sleep(500 * time.Millisecond)
			w.wait("app.log", before) // new lines wait for a while
			_, _ = f.Write(packed[half : half+1])
			time.Sleep(settledAfter)
			_, _ = f.Write(packed[half+1:])
			time.Sleep(100 * time.Millisecond)
			f.Close()
			w.still("app.log", join(before, rest, late))
			w.silent()
		})
	}
}

// An archive without an end that nobody writes to is a gap that names it.
func TestArchiveCut(t *testing.T) {
	t.Parallel()
	for _, a := range archivers() {
		t.Run(a.ext[1:], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			wr := w.writer("app.log")
			all := wr.text(100_000)
			w.start()
			w.up()
			w.wait("app.log", all)
			w.kill()
			wr.text(500_000)
			w.rotate("app.log")
			wr.reopen()
			a.pack(w, "app.log.1")
			st, _ := os.Stat(w.path("app.log.1" + a.ext))
			_ = os.Truncate(w.path("app.log.1"+a.ext), st.Size()-5)
			all = append(all, wr.lines(10)...)
			w.start()
			w.up()
			e := w.oneGap()
			if !strings.Contains(e.Reason, "app.log.1"+a.ext) || e.To != nil || *e.From < 100_000 {
				t.Errorf("%+v", e)
			}
			w.still("app.log", all)
			w.kill()
			w.start()
			w.up()
			w.still("app.log", all)
			w.oneGap()
		})
	}
}

// What is gone, or lies in an archive that cannot be read, is told.
func TestArchiveGone(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]struct{ line, says string }{
		"removed":  {"rm app.log.1", "is gone"},
		"lz4":      {"lz4 -q app.log.1 app.log.1.lz4 && rm app.log.1", "app.log.1.lz4"},
		"damaged":  {"gzip app.log.1 && printf xxxxxxxxxx | dd of=app.log.1.gz bs=1 seek=100000 conv=notrunc", "app.log.1.gz"},
		"no magic": {"base64 app.log.1 >app.log.1.gz && rm app.log.1", "app.log.1.gz"},
		"other":    {"rm app.log.1 && seq 100000 | gzip >app.log.1.gz", "is gone"},
		"window":   {"zstd -q --long=27 <app.log.1 >app.log.1.zst && rm app.log.1", "app.log.1.zst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			wr := w.writer("app.log")
			all := wr.text(100_000)
			w.start()
			w.up()
			w.wait("app.log", all)
			w.kill()
			wr.text(400_000)
			w.rotate("app.log")
			wr.reopen()
			w.shell(make.line)
			all = append(all, wr.lines(10)...)
			w.start()
			w.up()
			w.still("app.log", all)
			if e := w.oneGap(); !strings.Contains(e.Reason, make.says) || e.To != nil {
				t.Errorf("%+v", e)
			}
		})
	}
}

// An agent that holds the file needs no archive of it, and takes none.
func TestArchiveOfHeldFile(t *testing.T) {
	t.Parallel()
	for _, linked := range []bool{true, false} {
		t.Run(fmt.Sprintf("linked=%v", linked), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			wr := w.writer("app.log")
			all := wr.lines(5)
			w.start()
			w.up()
			w.wait("app.log", all)
			if !linked {
				w.down()
			}
			all = append(all, wr.text(8_000_000)...)
			time.Sleep(30 * time.Millisecond)
			w.rename("app.log", "app.log.1")
			wr.reopen()
			all = append(all, wr.lines(5)...)
			w.command("gzip", "app.log.1")
			if !linked {
				time.Sleep(300 * time.Millisecond)
				w.up()
			}
			w.still("app.log", all)
			w.silent()
			w.released(1)
		})
	}
}

// Files that were let go while the link was down are found in their archives.
func TestArchiveOfReleasedFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.limits.Rotated = 2
	wr := w.writer("app.log")
	all := wr.lines(500)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	for k := range 6 {
		all = append(all, wr.text(50_000)...)
		time.Sleep(50 * time.Millisecond)
		for i := k; i > 0; i-- {
			w.rename(fmt.Sprintf("app.log.%d.gz", i), fmt.Sprintf("app.log.%d.gz", i+1))
		}
		w.rename("app.log", "app.log.1")
		wr.reopen()
		time.Sleep(50 * time.Millisecond)
		w.command("gzip", "app.log.1")
	}
	time.Sleep(300 * time.Millisecond)
	all = append(all, wr.lines(5)...)
	w.up()
	w.still("app.log", all)
	w.silent()
}

// Of a file that is truncated and not renamed the archive of its copy counts.
func TestArchiveOfTruncatedFile(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{true, false} {
		for _, a := range archivers() {
			t.Run(fmt.Sprintf("%s/away=%v", a.ext[1:], away), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, appLog())
				wr := w.writer("app.log")
				all := wr.text(100_000)
				w.start()
				w.up()
				w.wait("app.log", all)
				for k := range 3 {
					if away {
						w.kill()
					} else {
						w.down()
					}
					all = append(all, wr.text(300_000)...)
					time.Sleep(50 * time.Millisecond)
					for i := k; i > 0; i-- {
						w.rename(fmt.Sprintf("app.log.%d%s", i, a.ext), fmt.Sprintf("app.log.%d%s", i+1, a.ext))
					}
					w.shell(a.argv[0] + " -c app.log > app.log.1" + a.ext + " && : > app.log")
					all = append(all, wr.lines(5)...)
					time.Sleep(50 * time.Millisecond)
					if away {
						w.start()
					}
					w.up()
					w.wait("app.log", all)
				}
				w.still("app.log", all)
				w.silent()
			})
		}
	}
}

// The link breaks all the time while an archive is sent.
func TestArchiveOverBadLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.text(3_000_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	all = append(all, wr.text(30_000_000)...)
	w.rotate("app.log")
	wr.reopen()
	w.command("zstd", "-q", "--rm", "app.log.1")
	all = append(all, wr.lines(10)...)
	w.start()
	for range 30 {
		w.up()
		time.Sleep(60 * time.Millisecond)
		w.down()
	}
	w.up()
	w.still("app.log", all)
	w.silent()
	w.released(1)
}

// Archives that take much memory are read, one at a time.
func TestArchiveWithLargeWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "b.log", Alias: "b.log"})
	want := map[string][]byte{}
	for _, name := range []string{"app.log", "b.log"} {
		want[name] = w.writer(name).text(100_000)
	}
	w.start()
	w.up()
	for name, b := range want {
		w.wait(name, b)
	}
	w.kill()
	for name := range want {
		wr := w.writer(name)
		wr.n = 1 << 20
		want[name] = append(want[name], wr.text(1_000_000)...)
		w.rotate(name)
		w.command("xz", "-9", name+".1")
		wr.reopen()
		want[name] = append(want[name], wr.lines(3)...)
	}
	w.start()
	w.up()
	for name, b := range want {
		w.still(name, b)
	}
	w.silent()
}
