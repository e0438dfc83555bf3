package status

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// TestDeadProc has files below /proc that are another program's, as in a
// container, and that program does not answer.
func TestDeadProc(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	root := t.TempDir()
	mountFUSE(t, "lxcfs", "fuse.lxcfs", folder(t, root, "proc"), "")
	c := New(Options{Root: root})
	for _, status := range []dtc.Status{dtc.StatusMemory, dtc.StatusCPU, dtc.StatusPlatform, dtc.StatusDisk} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := c.Get(ctx, dtc.Query{Status: status}, func(*dtc.Report) error { return nil })
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", status, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestProcessesWithoutMemory(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	mount(t, "proc", "/proc", "proc", "subset=pid") // has no meminfo
	r := list(t, New(Options{}), dtc.StatusProcess)
	if len(r.Process) == 0 || !math.IsNaN(r.Process[0].MemPercent) {
		t.Errorf("%d processes", len(r.Process))
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "meminfo") {
		t.Errorf("notes %q", r.Notes)
	}
}

func TestNoProcesses(t *testing.T) {
	err := New(Options{Root: tree(t, map[string]string{"proc/meminfo": "MemTotal: 1 kB\n"}).root}).Get(t.Context(), dtc.Query{Status: dtc.StatusProcess},
		func(*dtc.Report) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "is proc mounted there?") {
		t.Errorf("got %v", err)
	}
}

func TestHiddenProcesses(t *testing.T) {
	for _, test := range []struct {
		file string
		told bool
	}{{"proc/self/stat", true}, {"proc/1/stat", false}, {"proc/2/stat", false}} {
		if told := tree(t, map[string]string{test.file: ""}).hiddenNote() != ""; told != test.told {
			t.Errorf("with %s alone: %v", test.file, told)
		}
	}
	if New(Options{}).host.hiddenNote() != "" {
		t.Error("root sees all")
	}
}

func TestReadingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g readings
		wake := make(chan struct{})
		for range maxReadings {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := g.within(ctx, dtc.StatusCPU, func() { <-wake }); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		ran := false
		if err := g.within(t.Context(), dtc.StatusCPU, func() { ran = true }); err == nil || ran {
			t.Errorf("one more: %v", err)
		}
		time.AfterFunc(time.Second, func() { wake <- struct{}{} })
		if err := g.within(t.Context(), dtc.StatusCPU, func() { ran = true }); err != nil || !ran {
			t.Errorf("one more when one ends: %v", err)
		}
		ran = false
		if err := g.within(t.Context(), dtc.StatusMemory, func() { ran = true }); err != nil || !ran {
			t.Errorf("another status: %v", err)
		}
		close(wake)
		g.all.Wait()
		if err := g.within(t.Context(), dtc.StatusCPU, func() {}); err != nil {
			t.Error(err)
		}
		defer func() {
			if p := recover(); p != "fault" {
				t.Errorf("panic %v", p)
			}
		}()
		_ = g.within(t.Context(), dtc.StatusCPU, func() { panic("fault") })
	})
}
