package ship

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own on a loop device. Its power can be cut.
type disk struct {
	t       testing.TB
	image   string
	dir     string // where it is mounted
	options string
}

// diskKind is a file system and how it is mounted.
type diskKind struct {
	name, options string
	mkfs          []string
	size          int64
	old           bool // what was never written holds something else than zeros
}

// diskKinds differ in what a power loss leaves of a file that was growing: its
// old length; its new length, with whatever the disk held there before; and an
// old length again, by other rules.
func diskKinds() []diskKind {
	ext4 := []string{"mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0"}
	return []diskKind{
		{"ext4", "loop", ext4, 128 << 20, false},
		{"ext4 writeback", "loop,data=writeback,nodelalloc,commit=1", ext4, 128 << 20, true},
		{"xfs", "loop", []string{"mkfs.xfs", "-q", "-f", "-K"}, 320 << 20, false},
	}
}

func newDisk(tb testing.TB, k *diskKind) *disk {
	tb.Helper()
	base := tb.TempDir()
	d := &disk{t: tb, image: filepath.Join(base, "image"), dir: filepath.Join(base, "disk"), options: k.options}
	f, err := os.Create(d.image)
	if err != nil {
		tb.Fatal(err)
	}
	junk := noise(1 << 20)
	for at := int64(0); k.old && err == nil && at < k.size; at += int64(len(junk)) {
		_, err = f.Write(junk)
	}
	if err := errors.Join(err, f.Truncate(k.size), f.Close(), os.Mkdir(d.dir, 0o755)); err != nil {
		tb.Fatal(err)
	}
	d.run(append(k.mkfs, d.image)...)
	// Whoever gets a mount namespace of its own meanwhile, as ip netns exec has
	// one, must lose the disk when it is unmounted here.
	d.run("mount", "--bind", base, base)
	tb.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	d.run("mount", "--make-shared", base)
	d.mount()
	tb.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func (d *disk) run(args ...string) {
	d.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%v (the tests need root): %v\n%s", args, err, out)
	}
}

func (d *disk) mount() {
	d.t.Helper()
	d.run("mount", "-o", d.options, d.image, d.dir)
}

// fsShutdown is FS_IOC_SHUTDOWN of ext4, XFS and others (linux/fs.h since 6.17,
// before in each of them), noLogFlush its flag for: write nothing any more.
const (
	fsShutdown = 0x8004587d
	noLogFlush = 2
)

// cut cuts the power: nothing that is not on the disk yet will ever be.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), fsShutdown, noLogFlush)
	if err := errors.Join(err, f.Close()); err != nil {
		d.t.Fatalf("shut the file system down: %v", err)
	}
}

// heal mounts what the power loss left. Nobody may have a file open.
func (d *disk) heal() {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Unmount(d.dir, 0)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			d.t.Fatalf("unmount: %v", err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); d.held(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("somebody else has %s mounted", d.dir)
		}
	}
	d.mount()
}

// held reports whether the file system is still there after it was unmounted
// here, and takes it from those that got a mount namespace meanwhile whose
// mounts do not go with ours. As long as somebody has it a mount brings it back
// as it is, without its power.
func (d *disk) held() bool {
	d.t.Helper()
	out, err := exec.Command("losetup", "--noheadings", "--output", "NAME", "--associated", d.image).Output()
	if err != nil {
		d.t.Fatalf("losetup: %v", err)
	}
	if len(out) == 0 {
		return false
	}
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, table := range tables {
		if b, _ := os.ReadFile(table); strings.Contains(string(b), " "+d.dir+" ") {
			pid := filepath.Base(filepath.Dir(table))
			_ = exec.Command("nsenter", "--target", pid, "--mount", "umount", "--lazy", d.dir).Run() // it may have ended
		}
	}
	return true
}

// nudge has the disk write some pages of a file, as the kernel does when it
// likes: neither all nor in order, and without the file's length.
func nudge(path string, rnd *rand.Rand) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return
	}
	at := rnd.Int64N(st.Size())
	_ = unix.SyncFileRange(int(f.Fd()), at, rnd.Int64N(st.Size()-at+1), unix.SYNC_FILE_RANGE_WRITE)
}

// Where nobody else makes files the new one has the inode number of the old one.
func TestSameInodeWhileAway(t *testing.T) {
	t.Parallel()
	d := newDisk(t, &diskKinds()[0])
	if !testRemadeWhileAway(t, d.dir) {
		t.Error("the inode number was not used again, so nothing is proven")
	}
}
