package watch

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

func TestParsePIDFile(t *testing.T) {
	for text, want := range map[string]int{
		"1": 1, "812\n": 812, " 812 \r\n": 812, "\n\n812\n": 812, "812\x00": 812,
		"4711\n/var/lib/postgresql\n1795364574\n": 4711, "2147483647": 2147483647,
		"": 0, "\n": 0, "0": 0, "-1": 0, "+5": 0, "1 2": 0, "1x": 0, "pid 5": 0, "2147483648": 0, "99999999999999999999": 0, "\x00": 0, "0x10": 0,
	} {
		got, ok := parsePIDFile([]byte(text))
		if ok != (want > 0) || ok && got != want {
			t.Errorf("%q: %d, %t, want %d", text, got, ok, want)
		}
	}
}

func FuzzPIDFile(f *testing.F) {
	f.Add([]byte("812\n"))
	f.Add([]byte(" \t\r\n+1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		pid, ok := parsePIDFile(data)
		if ok && (pid <= 0 || !bytes.Contains(data, []byte(strconv.Itoa(pid)))) {
			t.Errorf("%q: %d", data, pid)
		}
	})
}

// pidfile writes a file and returns its path.
func pidfile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(os.TempDir(), tag(tb)+".pid") // Wine cannot remove a folder of the test's own
	tb.Cleanup(func() { _ = os.Remove(path) })
	write(tb, path, text)
	return path
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func TestPIDFiles(t *testing.T) {
	f, c := newTestFinder(t), start(t, "exit 0")
	pid := strconv.Itoa(c.pid)
	path := pidfile(t, pid+"\n")
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: path}, c.pid)
	wantNothing(t, f, dtc.ProcessRule{PIDFile: path + ".none"}, "there is no file")
	wantNothing(t, f, dtc.ProcessRule{PIDFile: "x.pid"}, "no whole path on this system")
	wantNothing(t, f, dtc.ProcessRule{PIDFile: filepath.Dir(path)}, "is no plain file")
	for _, text := range []string{"", "garbage", "-5", pid + "garbage", strings.Repeat("7", 100_000), strings.Repeat(" ", 5000) + pid} {
		wantNothing(t, f, dtc.ProcessRule{PIDFile: pidfile(t, text)}, "holds no pid")
	}
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: pidfile(t, pid+"\n"+strings.Repeat("x", 100_000))}, c.pid)
	wantNothing(t, f, dtc.ProcessRule{PIDFile: pidfile(t, "2147483644")}, "there is no process 2147483644, which ")

	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, hour, hour); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, f, dtc.ProcessRule{PIDFile: path}, "after the file was written that names it: it is another one")
}

// TestPIDFileChanges rewrites, removes and makes a file that is looked at.
func TestPIDFileChanges(t *testing.T) {
	t.Parallel() // it mostly waits
	f, path := newTestFinder(t), pidfile(t, "")
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{PIDFile: path})
	f.want(sels)
	for i := range 3 {
		c := start(t, "exit 0")
		write(t, path, strconv.Itoa(c.pid))
		if i == 2 { // it was there before, as far as the file's time tells
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Minute/2)); err != nil {
				t.Fatal(err)
			}
		}
		a.at(t, sels[0], c.pid)
		c.kill()
		if i == 1 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1100 * time.Millisecond)
		}
	}
}

// TestPIDFileOfOneThatComesLater names a process before it is there, if barely.
func TestPIDFileIsReadAgain(t *testing.T) {
	f, c := newTestFinder(t), start(t, "exit 0")
	path := pidfile(t, "none yet")
	old := time.Now().Add(-10 * time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	p := newPlaces(f)
	defer p.close()
	_, trials := f.trials(t.Context(), selectors(t, dtc.ProcessRule{PIDFile: path}), nil)
	if at := p.find(t.Context(), trials); len(at[0].pids) != 0 {
		t.Errorf("%+v", at)
	}
	if file := p.files[path]; file == nil || !file.sure {
		t.Errorf("%+v", file)
	}
	if at := p.find(t.Context(), trials); len(at[0].pids) != 0 || at[0].problem == "" {
		t.Errorf("%+v", at)
	}
	write(t, path, strconv.Itoa(c.pid))
	if at := p.find(t.Context(), trials); len(at[0].pids) != 1 {
		t.Errorf("%+v", at)
	}
	if file := p.files[path]; file == nil || file.sure {
		t.Errorf("%+v: it may change within the same moment", file)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.find(ctx, trials)
}
