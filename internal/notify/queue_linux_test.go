package notify

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// smallDisk mounts a file system of this size.
func smallDisk(t *testing.T, size string) string {
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

func TestQueueOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, "256k")
	dir := filepath.Join(disk, "queue")
	q := mustQueue(t, dir)
	defer func() { _ = q.release() }() // or it could not be unmounted
	seq := uint64(0)
	for q.memory < 10 {
		if seq++; seq > 1000 {
			t.Fatal("the disk takes all")
		}
		q.append(recordOf(seq, 10_000))
	}
	if q.fault == nil || !q.failed() {
		t.Error("nobody is told")
	}
	onDisk := int(seq) - q.memory
	reopened := mustQueue(t, dir)
	must(t, reopened.release())
	if got := len(reopened.waiting); got != onDisk {
		t.Errorf("%d on the disk, want %d", got, onDisk)
	}
	for want := uint64(1); want <= 15; want++ { // delivery goes on
		s, r, err := q.head()
		if err != nil || r.Seq != want {
			t.Fatalf("head %v, %v, want %d", r, err, want)
		}
		q.finish(s)
	}
	q.settle(seq)
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=10m"))
	q.retry()
	if q.fault != nil || q.memory != 0 {
		t.Errorf("with room: %v, %d in memory", q.fault, q.memory)
	}
	must(t, q.release())
	reopened = mustQueue(t, dir)
	defer func() { _ = reopened.release() }()
	if !slices.Equal(reopened.seqs(), q.seqs()) {
		t.Errorf("on the disk %v, want %v", reopened.seqs(), q.seqs())
	}
}

func TestEngineOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, "128k")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, filepath.Join(disk, "notify"), opsAlone(5))
		r.start()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		for i := range 40 {
			e := deadPID(1, 1000+i)
			e.Reason = strings.Repeat("x", 8000)
			r.happen(e)
			r.pass(3 * time.Second)
		}
		if s := r.Status()[0]; s.Waiting != 40 {
			t.Errorf("status %+v", s)
		}
		if s := r.Status()[0]; !r.couriers["ops"].queue.failed() || s.Error == "" {
			t.Error("the disk took it all, or nobody is told")
		}
		r.scripts["ops"].says(nil)
		r.pass(5 * time.Minute)
		if got := r.scripts["ops"].titles(); len(got) != 40 {
			t.Errorf("%d came", len(got))
		}
		must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=10m"))
		r.happen(deadPID(2, 7))
		r.pass(time.Minute)
		r.end()
		if r.unsaved != nil {
			t.Errorf("not kept: %v", r.unsaved)
		}
		r.want("ops", "problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s")
		r.start()
		r.pass(time.Minute)
		r.want("ops")
		r.end()
	})
}
