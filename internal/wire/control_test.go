package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// control serves h on the socket until the test ends; it returns how to end it.
func control(t *testing.T, path string, h ControlHandler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() { ended <- ServeControl(ctx, path, h, log) }()
	soon(t, "the service listens", func() bool {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
		return !errors.Is(Control(t.Context(), path, "", nil, nil), ErrNoService)
	})
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeControl: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestControl(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "control")
	type question struct{ Name string }
	control(t, path, func(_ context.Context, verb string, request json.RawMessage, emit func(any) error) error {
		switch verb {
		case "count":
			for i := range 3 {
				if err := emit(map[string]any{"n": i}); err != nil {
					return err
				}
			}
			return emit(nil)
		case "greet":
			var q question
			if err := json.Unmarshal(request, &q); err != nil {
				return err
			}
			return emit("hello " + q.Name)
		case "panic":
			panic("x")
		default:
			return &dtc.Error{Kind: dtc.KindInvalid, Err: fmt.Errorf("no verb %q", verb)}
		}
	})
	var got []string
	collect := func(m json.RawMessage) error {
		got = append(got, string(m))
		return nil
	}
	if err := Control(t.Context(), path, "count", nil, collect); err != nil {
		t.Error(err)
	}
	if err := Control(t.Context(), path, "greet", question{"you"}, collect); err != nil {
		t.Error(err)
	}
	if want := `{"n":0} {"n":1} {"n":2} null "hello you"`; strings.Join(got, " ") != want {
		t.Errorf("got %s", got)
	}
	if err := Control(t.Context(), path, "x/../y z", nil, nil); dtc.KindOf(err) != dtc.KindInvalid || err.Error() != `no verb "x/../y z"` {
		t.Errorf("unknown verb: %v", err)
	}
	if err := Control(t.Context(), path, "panic", nil, nil); err == nil || !strings.HasPrefix(err.Error(), "internal error") {
		t.Errorf("panic: %v", err)
	}
	own := errors.New("stop")
	if err := Control(t.Context(), path, "count", nil, func(json.RawMessage) error { return own }); !errors.Is(err, own) {
		t.Errorf("each fails: %v", err)
	}
	if err := Control(t.Context(), path, "greet", strings.Repeat("x", maxControl), nil); err == nil {
		t.Error("a huge request was taken")
	}
}

func TestControlStreamsAndEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	left := make(chan struct{}, 2)
	stop := control(t, path, func(ctx context.Context, _ string, _ json.RawMessage, emit func(any) error) error {
		defer func() { left <- struct{}{} }()
		if err := emit("first"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := Control(ctx, path, "follow", nil, func(json.RawMessage) error { // it arrives although the answer goes on
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Control = %v", err)
	}
	<-left // the handler notices that nobody listens any more
	began := time.Now()
	err = Control(t.Context(), path, "follow", nil, func(json.RawMessage) error {
		go stop()
		return nil
	})
	<-left
	stop()
	if err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("Control = %v after %s", err, time.Since(began))
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if err := Control(t.Context(), path, "follow", nil, nil); !errors.Is(err, ErrNoService) {
		t.Errorf("Control = %v", err)
	}
}

func TestControlReplacesOnlyADeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if err := Control(t.Context(), path, "x", nil, nil); !errors.Is(err, ErrNoService) {
		t.Errorf("at a dead socket: %v", err)
	}
	done := func(context.Context, string, json.RawMessage, func(any) error) error { return nil }
	control(t, path, done)
	err = ServeControl(t.Context(), path, done, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "another service") {
		t.Errorf("the second: %v", err)
	}
	if err := Control(t.Context(), path, "x", nil, nil); err != nil {
		t.Errorf("the first: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".c*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestControlSocketIsRemoved(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(state, "control")
	stop := control(t, path, func(_ context.Context, _ string, _ json.RawMessage, emit func(any) error) error { return emit(1) })
	for range 2 {
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		soon(t, "the socket is there again", func() bool { return Control(t.Context(), path, "any", nil, nil) == nil })
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
