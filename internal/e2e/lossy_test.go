//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lossyDisk is an ext4 on a loop device whose power can be cut.
type lossyDisk struct{ image, dir string }

func newLossyDisk(t *testing.T) lossyDisk {
	t.Helper()
	base := t.TempDir()
	d := lossyDisk{filepath.Join(base, "image"), filepath.Join(base, "disk")}
	root := namespace("")
	root.must(t, "truncate", "-s", "256M", d.image)
	root.must(t, "mkfs.ext4", "-q", "-F", d.image)
	root.must(t, "mkdir", d.dir)
	// Whoever gets a mount namespace of its own meanwhile must lose the disk when
	// it is unmounted here.
	root.must(t, "mount", "--bind", base, base)
	t.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	root.must(t, "mount", "--make-shared", base)
	root.must(t, "mount", "-o", "loop", d.image, d.dir)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

// cut cuts the power: FS_IOC_SHUTDOWN with the flag for "write nothing more".
func (d lossyDisk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), 0x8004587d, 2)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("shut the file system down: %v", err)
	}
}

// heal mounts what the power loss left. Nobody may have a file open.
func (d lossyDisk) heal(t *testing.T) {
	t.Helper()
	root := namespace("")
	eventually(t, func() string { return "unmount " + d.dir }, func() bool { return unix.Unmount(d.dir, 0) == nil })
	eventually(t, func() string { return "somebody else has " + d.dir }, func() bool { return d.free(t) })
	root.must(t, "mount", "-o", "loop", d.image, d.dir)
}

// free reports whether nobody has the file system any more, and takes it from
// those that got a mount namespace meanwhile whose mounts do not go with ours: a
// mount would bring it back as it is, without its power.
func (d lossyDisk) free(t *testing.T) bool {
	t.Helper()
	root := namespace("")
	if root.must(t, "losetup", "--noheadings", "--output", "NAME", "--associated", d.image) == "" {
		return true
	}
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, table := range tables {
		if b, _ := os.ReadFile(table); strings.Contains(string(b), " "+d.dir+" ") {
			root.run(t, "nsenter", "--target", filepath.Base(filepath.Dir(table)), "--mount", "umount", "--lazy", d.dir)
		}
	}
	return false
}

// startBooted starts dtc serve as if the machine had been booted anew: it sees
// another boot id.
func (l *lone) startBooted(t *testing.T, boot int) {
	t.Helper()
	id := filepath.Join(t.TempDir(), "boot_id")
	writeFile(t, id, fmt.Sprintf("00000000-0000-4000-8000-%012d\n", boot))
	l.serve = namespace("").start(t, "unshare", "--mount", "--propagation", "slave", "sh", "-c",
		`mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, id, dtcPath(), "serve", "--home", l.home)
	eventually(t, l.serve.log.String, func() bool { return namespace("").run(t, dtcPath(), "reload", "--home", l.home).code == 0 })
}

// The machine of dtc serve loses its power, again and again, with all that its
// home holds on one disk. Every copy comes to be exact, and nothing is told that
// did not happen.
func TestScenarioPowerLoss(t *testing.T) {
	dir := t.TempDir()
	var writers []*writer
	var files []string
	for _, name := range []string{"a.log", "b.log", "c.log"} {
		w := &writer{path: filepath.Join(dir, name)}
		w.open(t)
		w.lines(t, 10)
		writers, files = append(writers, w), append(files, w.path)
	}
	l := newLone(t, files...)
	disk := newLossyDisk(t)
	l.serve.stop(t)
	home := filepath.Join(disk.dir, "home")
	namespace("").must(t, "cp", "-a", l.home, home)
	namespace("").must(t, "sync", "-f", home)
	l.home = home
	l.startBooted(t, 0)
	for i := range atLength(3, 30) {
		for end := time.Now().Add(time.Duration(100+rand.IntN(400)) * time.Millisecond); time.Now().Before(end); {
			for _, w := range writers {
				w.lines(t, rand.IntN(20))
				if rand.IntN(30) == 0 {
					w.rotate(t, 60)
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
		disk.cut(t)
		l.serve.kill9()
		disk.heal(t)
		l.startBooted(t, i+1)
		for k, w := range writers {
			copied := l.copyOf(filepath.Base(files[k]))
			eventually(t, func() string { return different([]byte(readFile(copied)), w.truth.Bytes()) }, func() bool {
				return readFile(copied) == w.truth.String()
			})
		}
	}
	r := namespace("").run(t, dtcPath(), "logs", "verify", "--home", l.home)
	if r.code != 0 {
		t.Errorf("logs verify: exit status %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for line := range strings.Lines(l.dtc(t, "events", "-o", "json")) {
		// That something was not safe is true.
		if strings.Contains(line, `"kind":"log"`) && !strings.Contains(line, "failure of the monitor's disk or power") && !strings.Contains(line, "cannot store") {
			t.Errorf("event %s", line)
		}
	}
}
