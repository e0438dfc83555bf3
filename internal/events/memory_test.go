package events

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemorySurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	want := HostMemory{HostState: HostState{Boot: "b1", Unreachable: true}, Processes: map[int]ProcessMemory{7: {Start: 99, Boot: "b1", Name: "nginx"}}}
	synctest.Test(t, func(t *testing.T) {
		m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		m.SetState("10.0.0.7:7701", want.HostState)
		m.SetProcess("10.0.0.7:7701", 7, want.Processes[7])
		m.SetProcess("10.0.0.7:7701", 8, ProcessMemory{})
		m.DropProcess("10.0.0.7:7701", 8)
		m.SetState("10.0.0.8:7701", HostState{})
		m.Forget(func(a string) bool { return a == "10.0.0.7:7701" })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	got := m.Host("10.0.0.7:7701")
	if got.Boot != want.Boot || !got.Unreachable || got.Processes[7] != want.Processes[7] || got.Processes[7].ID(7).Start != 99 {
		t.Errorf("remembered %+v, want %+v", got, want)
	}
	if got := m.Host("10.0.0.8:7701"); got.Boot != "" || len(m.hosts) != 1 || len(m.Host("10.0.0.7:7701").Processes) != 1 {
		t.Errorf("remembers a host that was forgotten: %+v", m.hosts)
	}
}

func TestMemoryOfGarbageIsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	for _, text := range []string{"", "null", "[1]", "{\"a\":", "\x00"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		m.SetState("a", HostState{Boot: "x"}) // a nil map would panic
	}
}

// While nothing changes the file says that it is up to date all the same: else
// all lines since the last change would be read at the next start.
func TestMemoryIsMarked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	synctest.Test(t, func(t *testing.T) {
		m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(memoryTouch + time.Second) // there is no file yet
		m.SetState("10.0.0.7:7701", HostState{Boot: "b1"})
		for range 3 {
			time.Sleep(memoryTouch)
			synctest.Wait()
			if age := time.Since(m.Written()); age < 0 || age > memoryTouch {
				t.Errorf("the file is %s old", age)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// What the memory says has been told is on the disk before it.
func TestMemoryComesAfterTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	synctest.Test(t, func(t *testing.T) {
		m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		broken, calls := errors.New("the disk is broken"), 0
		m.SyncFirst(func(ctx context.Context) error {
			if !m.Written().IsZero() {
				t.Error("it is written before the log")
			}
			calls++
			return errors.Join(broken, ctx.Err())
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		m.EndProcess("10.0.0.7:7701", 7)
		time.Sleep(memoryRetry)
		synctest.Wait()
		if calls != 1 || !m.Written().IsZero() {
			t.Errorf("after %d calls it is written at %s", calls, m.Written())
		}
		broken = nil
		cancel()
		if err := <-done; err != nil || calls != 2 || m.Written().IsZero() {
			t.Errorf("after %d calls it is written at %s: %v", calls, m.Written(), err)
		}
	})
}
