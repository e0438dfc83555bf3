package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc"
	"dtc/internal/events"
)

func TestEventsFollow(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "logs"), 0o750); err != nil {
		t.Fatal(err)
	}
	store, err := events.Open(filepath.Join(home, "logs"), events.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	r, w := io.Pipe()
	var stderr bytes.Buffer
	a := &app{stdout: w, stderr: &stderr, getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() {
		status <- a.run(ctx, []string{"events", "-f", "-o", "json", "--home", home})
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	for _, state := range []dtc.State{dtc.StateAlive, dtc.StateMissing} {
		err := store.Append("10.0.0.7", 7701, dtc.Event{
			ID: string(state), Host: "web1", Address: "10.0.0.7:7701", Kind: dtc.EventProcess, State: state, PID: 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Time        time.Time
			State, Host string
			PID         int
		}
		if !lines.Scan() {
			t.Fatalf("no line, %v, %s", lines.Err(), &stderr)
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.State != string(state) || got.PID != 7 || time.Since(got.Time) > time.Minute {
			t.Errorf("line %s: %+v, %v", lines.Bytes(), got, err)
		}
	}
	cancel()
	if got := <-status; got != exitOK || stderr.Len() > 0 {
		t.Errorf("status %d, %s", got, &stderr)
	}
}

func TestEventsSince(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, zone)
	for text, want := range map[string]string{
		"90m":                       "2026-11-22T10:30:00+02:00",
		"0s":                        "2026-11-22T12:00:00+02:00",
		"7d":                        "2026-11-15T12:00:00+02:00",
		"2026-11-20":                "2026-11-20T00:00:00+02:00",
		"2026-11-20 07:15":          "2026-11-20T07:15:00+02:00",
		"2026-11-20T07:15:01":       "2026-11-20T07:15:01+02:00",
		"2026-11-20T07:15:01.5Z":    "2026-11-20T07:15:01.5Z",
		"2026-11-20T07:15:01+08:00": "2026-11-20T07:15:01+08:00",
		"-1h":                       "",
		"-1d":                       "",
		"d":                         "",
		"":                          "",
		"now":                       "",
	} {
		got, err := eventsSince(text, now)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %v", text, got)
			}
			continue
		}
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v, %v; want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
}
