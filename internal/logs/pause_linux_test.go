package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// smallDisk mounts a tmpfs of so many bytes.
func smallDisk(tb testing.TB, size int) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		tb.Fatalf("mount a tmpfs (the tests need root): %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// pump sends a source as an agent does: it goes back where it is told to, and
// never has more on the way than the window.
func (a *agent) pump(stream uint32, source string, each func(dtc.Frame)) {
	a.t.Helper()
	const window = 1 << 20
	sent, acked := 0, 0
	for acked < len(source) {
		for sent < len(source) && sent-acked < window {
			n := min(len(source)-sent, 100_000)
			a.append(stream, 1, sent, source[sent:sent+n])
			sent += n
		}
		f := a.recv()
		each(f)
		switch f.Kind { //nolint:exhaustive // the rest is of no interest here
		case dtc.FrameAck:
			acked = max(acked, int(f.Offset))
		case dtc.FrameNack:
			sent = int(f.Offset)
		case dtc.FrameState:
			sent = int(f.States[0].Position)
		}
	}
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 6<<20)
	ballast := filepath.Join(dir, "ballast")
	check(t, os.WriteFile(ballast, make([]byte, 3<<20), 0o600))
	r := openRig(t, filepath.Join(dir, "logs"))
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	source := text(4 << 20)
	var frames []dtc.FrameKind
	paused := false
	a.pump(1, source, func(f dtc.Frame) {
		if f.Kind == dtc.FramePaused || f.Kind == dtc.FrameResumed {
			frames = append(frames, f.Kind)
		}
		if f.Kind == dtc.FramePaused && !paused {
			paused = true
			if s := r.Streams()[0]; s.State != StreamPaused || !strings.Contains(s.Reason, "no space left") {
				t.Errorf("stream %+v", s)
			}
			check(t, os.Remove(ballast))
		}
	})
	if r.content("app.log") != source {
		t.Fatal("the copy is not the source")
	}
	if !slices.Equal(frames, []dtc.FrameKind{dtc.FramePaused, dtc.FrameResumed}) {
		t.Fatalf("frames %v", frames)
	}
	eventually(t, "two events", func() bool {
		return slices.Equal(r.eventStates(), []dtc.State{dtc.StatePaused, dtc.StateResumed})
	})
}

// TestDiskFullThroughout fills the disk before anything else, so that every
// first step fails at least once.
func TestDiskFullThroughout(t *testing.T) {
	dir := smallDisk(t, 2<<20)
	r := openRig(t, filepath.Join(dir, "logs"))
	a := r.connect(peerA)
	a.attach(1, "app.log")
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	a.open(1, 1, "one")
	a.until(dtc.FramePaused)
	b := r.connect(peerA) // who comes meanwhile waits too
	b.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
	b.until(dtc.FramePaused)
	check(t, os.Remove(ballast))
	b.until(dtc.FrameResumed)
	f := b.until(dtc.FrameState)
	if len(f.States) != 0 {
		t.Fatalf("state %+v", f)
	}
	b.epoch[1] = f.Epoch
	b.open(1, 1, "one")
	b.append(1, 1, 0, "hello\n")
	b.durable(1, 1, 6)
	fill(t, ballast)
	b.open(1, 2, "two")
	b.append(1, 2, 0, text(8000))
	b.until(dtc.FramePaused)
	check(t, os.Remove(ballast))
	b.until(dtc.FrameResumed)
	for f = b.recv(); f.Kind != dtc.FrameState && f.Kind != dtc.FrameNack; {
		f = b.recv()
	}
	b.open(1, 2, "two")
	b.append(1, 2, 0, text(8000))
	b.durable(1, 2, 8000)
	if got := r.content("app.log"); got != "hello\n"+text(8000) {
		t.Fatalf("copy of %d bytes", len(got))
	}
}

// fill takes all the room of a disk.
func fill(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.Create(path)
	check(tb, err)
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			tb.Fatal(err)
		}
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	r := openRig(t, filepath.Join(dir, "logs"), func(o *Options) { o.SyncEvery = time.Millisecond })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "hello\n")
	a.durable(1, 1, 6)
	// The files must be closed for the disk to become read-only.
	st := r.stream("app.log")
	st.mu.Lock()
	st.release()
	st.mu.Unlock()
	r.lock.Close()
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	a.append(1, 1, 6, "world\n")
	a.until(dtc.FramePaused)
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	f := a.until(dtc.FrameResumed)
	for f.Kind != dtc.FrameNack && f.Kind != dtc.FrameState {
		f = a.recv()
	}
	a.append(1, 1, 6, "world\n")
	a.durable(1, 1, 12)
	if got := r.content("app.log"); got != "hello\nworld\n" {
		t.Fatalf("copy %q", got)
	}
	r.lock, _ = os.Create(filepath.Join(dir, "logs", lockName)) // for Close
}

// TestFloor keeps a part of the disk free.
func TestFloor(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	ballast := filepath.Join(dir, "ballast")
	check(t, os.WriteFile(ballast, make([]byte, 5<<20), 0o600))
	r := openRig(t, filepath.Join(dir, "logs"), func(o *Options) { o.FreeFloorPercent = 25 })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	source := text(3 << 20)
	var least uint64 = 1 << 62
	removed := false
	a.pump(1, source, func(f dtc.Frame) {
		free, _, err := diskRoom(dir)
		check(t, err)
		least = min(least, free)
		if f.Kind == dtc.FramePaused && !removed {
			removed = true
			if !strings.Contains(f.Text, "kept free") {
				t.Errorf("reason %q", f.Text)
			}
			check(t, os.Remove(ballast))
		}
	})
	if r.content("app.log") != source {
		t.Fatal("the copy is not the source")
	}
	if least < 2<<20-300<<10 || !removed {
		t.Fatalf("only %d bytes were left free", least)
	}
}
