//go:build linux

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// winWriter is a program for Windows that writes a log.
type winWriter struct {
	t      *testing.T
	path   string
	in     io.WriteCloser
	out    *bufio.Scanner
	truth  strings.Builder
	next   int
	copied string
}

// newWinWriter builds and starts it.
func (w wine) newWinWriter(t *testing.T, path, copied string) *winWriter {
	t.Helper()
	program := filepath.Join(w.dir, "winlog.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/winlog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for Windows: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	cmd := exec.CommandContext(ctx, w.run, program, windowsPath(path))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait(); cancel() })
	return &winWriter{t: t, path: path, in: in, out: bufio.NewScanner(out), copied: copied}
}

// try has it do something, and returns what it says.
func (w *winWriter) try(what string) string {
	w.t.Helper()
	if _, err := fmt.Fprintln(w.in, what); err != nil {
		w.t.Fatal(err)
	}
	if !w.out.Scan() {
		w.t.Fatalf("%s: the writer is gone: %v", what, w.out.Err())
	}
	return strings.TrimSpace(w.out.Text())
}

// do has it do something that has to succeed.
func (w *winWriter) do(what string) {
	w.t.Helper()
	if got := w.try(what); got != "ok" {
		w.t.Errorf("%s while the agent follows: %s", what, got)
	}
}

func (w *winWriter) line() {
	w.t.Helper()
	w.next++
	text := fmt.Sprintf("line %d of a program for Windows", w.next)
	w.do("write " + text)
	w.truth.WriteString(text + "\r\n")
}

// exact waits until the copy is what was written.
func (w *winWriter) exact() {
	w.t.Helper()
	eventually(w.t, func() string { return different([]byte(readFile(w.copied)), []byte(w.truth.String())) }, func() bool {
		return readFile(w.copied) == w.truth.String()
	})
}

// disturb does all that a program may do to its log while it is followed: open
// it so that others may only read, rename it by name and by handle, empty it, copy
// it, remove it and make it anew.
func (w *winWriter) disturb() {
	w.t.Helper()
	n := 0
	for _, share := range []string{"r", "rw", "rwd"} {
		for range atLength(1, 20) {
			w.do("open " + share)
			w.line()
			w.exact() // the agent has it open
			w.line()
			n++
			w.do(fmt.Sprintf("rename-open app.log.%d", 100-n))
			w.line() // to the renamed file
			w.do("close")
			w.do("open " + share)
			w.line()
			w.do("close")
			n++
			w.do(fmt.Sprintf("rename app.log.%d", 100-n))
			w.do("open " + share)
			w.line()
			w.exact()
			w.do("truncate-open")
			w.line()
			w.exact()
			n++
			w.do(fmt.Sprintf("copy app.log.%d", 100-n))
			w.do("truncate-open")
			w.line()
			w.do("close")
			w.exact()
			w.do("truncate")
		}
	}
	w.remake()
}

// remake removes the log and makes it anew, and rotates over a name that is
// there already.
func (w *winWriter) remake() {
	w.t.Helper()
	for i, how := range []string{"remove", "remove-open", "remove", "remove-open"} {
		w.do("open rwd")
		w.line()
		w.exact()
		w.line()
		if how == "remove" {
			w.do("close")
		}
		w.exact() // nobody has what is removed unread
		w.do(how)
		if how == "remove-open" {
			w.do("close")
		}
		w.t.Logf("open after %s: %d tries", how, w.tries("open rwd"))
		w.line()
		w.do("close")
		w.exact()
		if i == 0 {
			w.do("rename app.log.1")
			continue
		}
		// The agent holds what it took there for as long as bytes may still come,
		// half a second; a rotation that is not repeated would fail if it came in that time.
		w.t.Logf("rename to a name that was rotated to before: %d tries", w.tries("rename app.log.1"))
	}
}

// tries has it do something until it succeeds, and returns how often it took.
func (w *winWriter) tries(what string) int {
	w.t.Helper()
	n, last := 1, ""
	eventually(w.t, func() string { return what + ": " + last }, func() bool {
		if last = w.try(what); last == "ok" {
			return true
		}
		n++
		return false
	})
	return n
}

// disturbed has the Windows agent follow the log of a program that renames,
// empties, copies and removes it, and that must never notice.
func (w wine) disturbed(t *testing.T, l *lone, file string) {
	t.Helper()
	w.newWinWriter(t, file, filepath.Join(l.home, "logs", "127.0.0.2", "win.log")).disturb()
}

// TestWindowsTests runs tests of internal/follow that only Windows can.
func TestWindowsTests(t *testing.T) {
	w := newWine(t)
	program := filepath.Join(w.dir, "follow.test.exe")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, "dtc/internal/follow")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for Windows: %v\n%s", err, out)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "real", "app.log"), "secret\n")
	if err := os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), w.run, program, "-test.v", "-test.run", "TestSharing|TestLinkedFolder")
	cmd.Env = append(os.Environ(), "LINKED="+windowsPath(filepath.Join(dir, "link", "app.log")))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || strings.Count(string(out), "--- PASS") < 2 {
		t.Errorf("under Wine: %v", err)
	}
}
