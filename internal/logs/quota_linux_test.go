package logs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

// limitedDisk mounts a btrfs, whose quotas hold for root too, and returns its
// folder and what sets the limit.
func limitedDisk(t *testing.T) (dir string, limit func(size string)) {
	t.Helper()
	base := t.TempDir()
	image, at := filepath.Join(base, "image"), filepath.Join(base, "disk")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v (the tests need root): %v\n%s", args, err, out)
		}
	}
	check(t, os.WriteFile(image, nil, 0o600))
	check(t, os.Truncate(image, 256<<20))
	check(t, os.Mkdir(at, 0o755))
	run("mkfs.btrfs", "-q", "-f", image)
	run("mount", "-o", "loop", image, at)
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir = filepath.Join(at, "logs")
	run("btrfs", "subvolume", "create", dir)
	run("btrfs", "quota", "enable", at)
	return dir, func(size string) { run("btrfs", "qgroup", "limit", size, dir) }
}

// TestQuota has a quota end before the bytes do: the stream waits, and goes on
// when there is more of it.
func TestQuota(t *testing.T) {
	dir, limit := limitedDisk(t)
	limit("2M")
	r := openRig(t, dir)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	source := text(4 << 20)
	var frames []dtc.FrameKind
	a.pump(1, source, func(f dtc.Frame) {
		if f.Kind != dtc.FramePaused && f.Kind != dtc.FrameResumed {
			return
		}
		frames = append(frames, f.Kind)
		if f.Kind == dtc.FramePaused {
			if s := r.Streams()[0]; s.State != StreamPaused || !strings.Contains(s.Reason, "quota") {
				t.Errorf("stream %+v", s)
			}
			limit("100M")
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
