package events

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// tmpfs mounts a file system of this size.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("the test needs root to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestDiskIsFull(t *testing.T) {
	dir := tmpfs(t, "64k")
	c := &clock{t: at("2026-11-22T12:00:00Z").UTC()}
	s := openStore(t, dir, c.now)
	var written []string
	var full error
	for i := 0; full == nil; i++ {
		e := process(strings.Repeat("x", 900))
		died(&e)
		e.ID, e.Time = strconv.Itoa(i), time.Time{}
		if full = s.Append(folder, port, e); full == nil {
			written = append(written, e.ID)
		}
		if i > 1000 {
			t.Fatal("the disk takes all")
		}
	}
	if !errors.Is(full, syscall.ENOSPC) {
		t.Errorf("error %v", full)
	}
	refused := strconv.Itoa(len(written))
	data, err := os.ReadFile(processFile(dir, "2026-11-22"))
	if err != nil || !strings.HasSuffix(string(data), "\n") || strings.Count(string(data), "\n") != len(written) {
		t.Errorf("half a line stands there: %q, %v", data[max(0, len(data)-100):], err)
	}
	wantIDs(t, dir, strings.Join(written, " "))

	// There is room again: who was refused tells again.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=256k"); err != nil {
		t.Fatal(err)
	}
	appendEvent(t, s, refused, died)
	appendEvent(t, s, refused, died)
	if err := s.Sync(t.Context(), folder); err != nil {
		t.Error(err)
	}
	wantIDs(t, dir, strings.Join(append(written, refused), " "))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

const killedEnv = "DTC_EVENTS_TEST_DIR"

// TestKilled kills a writer again and again in the middle of its work, and has
// the next one tell all from where the last was not known to have come.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killedEnv); dir != "" {
		writeUntilKilled(dir)
		return
	}
	dir := t.TempDir()
	acknowledged := 0
	for round := range 20 {
		c := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		c.Env = append(os.Environ(), killedEnv+"="+dir, "DTC_EVENTS_TEST_FROM="+strconv.Itoa(acknowledged))
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(20+round*7)*time.Millisecond, func() { _ = c.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("the writer said %q", lines.Text())
			}
			if round%3 != 0 { // else the acknowledgement is lost
				acknowledged = n
			}
		}
		_ = c.Wait()
	}
	next := 0
	err := Read(t.Context(), dir, Filter{Bad: func(path string, lines int) { t.Errorf("%s: %d bad lines", path, lines) }},
		func(e dtc.Event) error {
			if e.ID != strconv.Itoa(next) {
				return fmt.Errorf("event %s where %d should be", e.ID, next)
			}
			next++
			return nil
		})
	if err != nil || next < acknowledged || acknowledged == 0 {
		t.Errorf("%d events on record, %d acknowledged, %v", next, acknowledged, err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, folder, "*")); err != nil || len(files) > 2 {
		t.Errorf("files: %v, %v", files, err)
	}
}

func writeUntilKilled(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		panic(err)
	}
	from, _ := strconv.Atoi(os.Getenv("DTC_EVENTS_TEST_FROM"))
	for i := from; ; i++ {
		e := process("x")
		died(&e)
		e.ID, e.Time = strconv.Itoa(i), time.Time{}
		if err := s.Append(folder, port, e); err != nil {
			panic(err)
		}
		if i%50 == 0 {
			fmt.Println(i)
		}
	}
}

// A full disk can be told from one that is full no more without an event.
func TestTry(t *testing.T) {
	dir := tmpfs(t, "64k")
	s := openStore(t, dir, time.Now)
	if err := s.Try(folder); err != nil {
		t.Error(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := s.Try(folder); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("of a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Try(folder); err != nil {
		t.Error(err)
	}
	if err := s.Try("../x"); err == nil {
		t.Error("a folder of anywhere is taken")
	}
	if left, err := os.ReadDir(filepath.Join(dir, folder)); err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}
