package ship

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// If the archive of what the monitor has last is gone, those that must have
// come later are sent all the same.
func TestArchivesAfterOneThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.text(10_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	wr.lines(10) // is lost
	w.rotate("app.log")
	_ = os.Remove(w.path("app.log.1"))
	for k := range 3 {
		wr.reopen()
		all = append(all, wr.text(5_000)...)
		w.rename("app.log", "app.log.1")
		at := time.Now().Add(time.Duration(k+1) * time.Hour)
		_ = os.Chtimes(w.path("app.log.1"), at, at)
		w.command("gzip", "app.log.1")
		w.rename("app.log.1.gz", fmt.Sprintf("app.log-2026112%d.gz", k))
	}
	wr.reopen()
	all = append(all, wr.lines(10)...)
	w.start()
	w.up()
	w.still("app.log", all)
	w.oneGap()
	w.kill()
	w.start()
	w.up()
	w.still("app.log", all)
	w.oneGap()
}

// What logrotate makes of a file while the agent comes and goes is sent exactly.
func TestLogrotate(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"compress":     "compress",
		"delay":        "compress\ndelaycompress",
		"dateext":      "compress\ndateext\ndateformat -%Y%m%d-%s",
		"copytruncate": "compress\ncopytruncate",
		"xz":           "compress\ncompresscmd /usr/bin/xz\ncompressext .xz\ncreate",
		"zstd":         "compress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncreate",
		"bzip2":        "compress\ncompresscmd /usr/bin/bzip2\ncompressext .bz2\ncreate",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			if err := os.Chmod(w.src, 0o755); err != nil {
				t.Fatal(err)
			}
			conf, state := filepath.Join(t.TempDir(), "conf"), filepath.Join(t.TempDir(), "state")
			text := fmt.Sprintf("%s {\nrotate 100\nmissingok\n%s\n}\n", w.path("app.log"), options)
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			wr := w.writer("app.log")
			all := wr.text(50_000)
			w.start()
			w.up()
			w.wait("app.log", all)
			for round := range 6 {
				running := round%2 == 1
				if !running {
					w.kill()
				}
				for range 1 + round/2 {
					all = append(all, wr.text(200_000)...)
					if running { // copytruncate loses what is not read
						w.wait("app.log", all)
					}
					if name == "dateext" {
						time.Sleep(1100 * time.Millisecond) // dates have seconds
					}
					w.command("logrotate", "-f", "-s", state, conf)
					wr.reopen()
				}
				all = append(all, wr.lines(20)...)
				if !running {
					w.start()
					w.up()
				}
				w.wait("app.log", all)
			}
			w.still("app.log", all)
			w.silent()
		})
	}
}

// Archives that hold nothing of the file do no harm.
func TestForeignArchives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.text(10_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	for k := range 20 {
		w.shell(fmt.Sprintf("seq %d | gzip > app.log.%d.gz && touch -d '%d hours ago' app.log.%d.gz", k*1000, k+2, k+2, k+2))
	}
	w.shell("head -c 300000000 /dev/zero | zstd -q > app.log.30.zst; head -c 1000000 /dev/urandom > app.log.31.gz; : > app.log.32.xz")
	w.rotate("app.log")
	wr.reopen()
	all = append(all, wr.lines(10)...)
	w.start()
	w.up()
	w.still("app.log", all)
	w.silent()
}

// An archive of a whole file that is still being written when the agent comes
// back is not forgotten when the agent goes again.
func TestUnseenArchiveStillWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.text(100_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	all = append(all, wr.text(100_000)...)
	w.rename("app.log", "app.log.2")
	wr.reopen()
	unseen := wr.text(100_000)
	w.rename("app.log", "app.log.1")
	wr.reopen()
	w.command("gzip", "app.log.2")
	w.command("gzip", "app.log.1")
	packed, err := os.ReadFile(w.path("app.log.1.gz"))
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(w.path("app.log.1.gz"))
	f, err := os.Create(w.path("app.log.1.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.Write(packed[:1000])
	live := wr.lines(10)
	w.start()
	w.shipper.finder.hold = 5 * time.Second
	w.up()
	w.wait("app.log", all)
	time.Sleep(500 * time.Millisecond)
	w.wait("app.log", all)
	all = append(all, live...) // after a while
	w.wait("app.log", all)
	w.kill()
	live = wr.lines(10)
	w.start()
	w.up()
	all = append(all, live...)
	w.wait("app.log", all)
	_, _ = f.Write(packed[1000:])
	f.Close()
	w.still("app.log", append(all, unseen...))
	w.silent()
}

// An archive that lies there twice is sent once.
func TestArchiveTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	wr := w.writer("app.log")
	all := wr.text(100_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	for k := range 4 {
		all = append(all, wr.text(100_000)...)
		w.rename("app.log", fmt.Sprintf("app.log-2026112%d", k))
		w.shell(fmt.Sprintf("gzip -k app.log-2026112%d && xz app.log-2026112%d && touch -r app.log-2026112%d.gz .", k, k, k))
		wr.reopen()
	}
	w.shell("cp -p app.log-20261121.gz app.log-2026112112.gz; ln app.log-20261122.gz app.log-2026112213.gz; gunzip -c <app.log-20261122.gz >app.log-2026112223")
	w.start()
	w.up()
	all = append(all, wr.lines(10)...)
	w.still("app.log", all)
	for _, e := range w.told("") {
		if e.To != nil {
			t.Errorf("%+v", e)
		}
	}
}

// The whole file went into an archive, and nothing came after it.
func TestArchiveWithoutSuccessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "*.log", Alias: "{name}"})
	wr := w.writer("app.log")
	all := wr.text(100_000)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	all = append(all, wr.text(100_000)...)
	w.rename("app.log", "app.log.1")
	w.command("gzip", "app.log.1")
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	w.start()
	w.up()
	w.still("app.log", all)
	wr.reopen()
	all = append(all, wr.lines(10)...)
	w.still("app.log", all)
	w.silent()
}

// Many files whose rest is in archives come through the few finders. Who waits
// too long for one has his new lines sent before.
func TestManyArchives(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t, File{Path: "*.log", Alias: "{name}"})
	want, rest, late := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	writers := map[string]*writer{}
	for k := range n {
		name := fmt.Sprintf("f%d.log", k)
		writers[name] = w.writer(name)
		want[name] = writers[name].text(3_000)
	}
	w.start()
	w.up()
	for name, b := range want {
		w.wait(name, b)
	}
	w.kill()
	for name, wr := range writers {
		rest[name] = wr.text(100_000)
		w.rename(name, name+".1")
		wr.reopen()
	}
	w.shell("gzip *.log.1")
	for name, wr := range writers {
		late[name] = wr.lines(3)
	}
	begin := time.Now()
	w.start()
	w.up()
	for name, b := range want {
		for len(w.copyOf(name)) < len(b)+len(rest[name])+len(late[name]) && time.Since(begin) < 2*time.Minute {
			time.Sleep(2 * time.Millisecond)
		}
		if got := w.copyOf(name); !bytes.Equal(got, join(b, rest[name], late[name])) {
			w.wait(name, join(b, late[name], rest[name]))
		}
	}
	t.Logf("%d archives took %s", n, time.Since(begin))
	w.silent()
	w.released(n)
}

// A few equal bytes are not taken for the same file where another may be meant.
func TestArchivesThatBeginAlike(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]bool{"alone": false, "among others": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			wr := w.writer("app.log")
			if old {
				for k := range 3 {
					w.shell(fmt.Sprintf("(echo started; seq 1%d 10000) | gzip > app.log.%d.gz", k, k+2))
				}
			}
			all := wr.lines(3)
			w.start()
			w.up()
			w.wait("app.log", all)
			_ = os.Truncate(w.path("app.log"), 0)
			all = append(all, wr.write([]byte("started\n"))...)
			w.wait("app.log", all)
			w.kill()
			rest := wr.lines(100)
			w.shell("gzip -c app.log >app.log.1.gz && : >app.log")
			late := wr.lines(5)
			w.start()
			w.up()
			if old {
				w.still("app.log", join(all, late))
				w.oneGap()
				return
			}
			w.still("app.log", join(all, rest, late))
			w.silent()
		})
	}
}

// Archives from before the agent came are no copies of what it has seen.
func TestArchivesFromBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	for k := range 6 {
		w.shell(fmt.Sprintf("(echo started %d; seq 10000) | gzip > app.log.%d.gz && touch -d '%d hours ago' app.log.%d.gz", k, k+1, k+1, k+1))
	}
	time.Sleep(coarse)
	wr := w.writer("app.log")
	all := wr.write([]byte("started 0\n"))
	w.start()
	w.up()
	w.wait("app.log", all)
	time.Sleep(coarse)
	for k := range 5 {
		_ = os.Truncate(w.path("app.log"), 0)
		all = append(all, wr.write(fmt.Appendf(nil, "started %d\n", k+1))...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	w.silent()
}
