package status

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// ownMountsEnv is set in the process that has mounts of its own.
const ownMountsEnv = "DTC_STATUS_OWN_MOUNTS"

// inOwnMounts runs the rest of a test in a process whose mounts nobody else
// sees. It returns false in the process that started that one.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMountsEnv) == t.Name() {
		leaveOthers(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), ownMountsEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in mounts of its own: %v\n%s", err, out)
	}
	return false
}

// leaveOthers unmounts here what other tests have mounted: their servers may be
// gone at any moment.
func leaveOthers(tb testing.TB) {
	tb.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if dir := strings.Fields(line)[4]; strings.HasPrefix(dir, os.TempDir()+"/") {
			_ = unix.Unmount(strings.ReplaceAll(dir, `\040`, " "), unix.MNT_DETACH)
		}
	}
}

func mount(tb testing.TB, source, dir, kind, data string) {
	tb.Helper()
	if err := unix.Mount(source, dir, kind, 0, data); err != nil {
		tb.Fatalf("mount %s %q at %q: %v", kind, source, dir, err)
	}
	tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// bind shows a folder or file at another place too.
func bind(tb testing.TB, source, dir string) {
	tb.Helper()
	if err := unix.Mount(source, dir, "", unix.MS_BIND, ""); err != nil {
		tb.Fatalf("bind %q to %q: %v", source, dir, err)
	}
	tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// mustRun runs a tool for what it does.
func mustRun(tb testing.TB, name string, args ...string) {
	tb.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// dfColumns are the fields of [dtc.Disk] as df names them.
const dfColumns = "--output=source,fstype,size,used,avail,pcent,itotal,iused,iavail,target"

// dfLines is what df says, one space between two words.
func dfLines(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i > 0 { // the header
			fmt.Fprintln(&b, strings.Join(strings.Fields(line), " "))
		}
	}
	return b.String()
}

// diskLines are our answer in the same form.
func diskLines(tb testing.TB, disks []dtc.Disk) string {
	tb.Helper()
	figure := func(n int64) string {
		if n == dtc.Absent {
			return "-"
		}
		return fmt.Sprint(n)
	}
	shown := strings.NewReplacer("\n", "?", "\t", "?", "\x01", "?", "\x7f", "?")
	var b strings.Builder
	b.WriteByte('\n')
	for _, d := range disks {
		percent, inodes := "-", fmt.Sprintln(d.TotalInodes, d.UsedInodes, d.FreeInodes)
		if !math.IsNaN(d.UsedPercent) {
			percent = fmt.Sprintf("%v%%", d.UsedPercent)
		}
		if d.TotalInodes == dtc.Absent {
			inodes = "0 0 0"
		}
		fmt.Fprintln(&b, shown.Replace(d.Filesystem), d.Type, figure(d.TotalBytes), figure(d.UsedBytes), figure(d.AvailableBytes),
			percent, strings.TrimSpace(inodes), shown.Replace(d.MountedOn))
	}
	return dfLines(b.String())
}

// df runs df, which fails when there is a mount that it cannot ask.
func df(tb testing.TB, args ...string) (out, complaints string) {
	tb.Helper()
	cmd := exec.Command("df", args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		tb.Fatal(err)
	}
	return string(text), stderr.String()
}

// agreeWithDF compares all file systems of this machine. A line that moves
// while we look is compared when it stands still.
func agreeWithDF(t *testing.T) {
	t.Helper()
	c := New(Options{})
	const tries = 100
	for try := range tries {
		before, _ := df(t, "-B1", dfColumns)
		ours := diskLines(t, list(t, c, dtc.StatusDisk).Disk)
		after, _ := df(t, "-B1", dfColumns)
		got, want, then := strings.Split(ours, "\n"), strings.Split(dfLines(before), "\n"), strings.Split(dfLines(after), "\n")
		moved := len(want) != len(then)
		for i := range min(len(got), len(want), len(then)) {
			if want[i] == then[i] && got[i] != want[i] {
				t.Fatalf("got\n%s\ndf has\n%s", got[i], want[i])
			}
			moved = moved || want[i] != then[i]
		}
		if moved && try < tries-1 {
			continue
		}
		if len(got) != len(want) {
			t.Fatalf("got\n%s\ndf has\n%s", ours, dfLines(before))
		}
		return
	}
}

func TestDiskAgreesWithDF(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	agreeWithDF(t)
	base := t.TempDir()
	mount(t, "base of all", base, "tmpfs", "size=600M")

	// File systems of devices.
	for kind, size := range map[string]string{"ext4": "16M", "xfs": "300M", "btrfs": "110M"} {
		image, dir := filepath.Join(base, kind+".img"), folder(t, base, kind)
		mustRun(t, "truncate", "-s", size, image)
		mustRun(t, "mkfs."+kind, "-q", image)
		mustRun(t, "mount", "-o", "loop", image, dir)
		t.Cleanup(func() { mustRun(t, "umount", "-R", "-l", dir) })
		if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1234567), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agreeWithDF(t)
	mustRun(t, "btrfs", "-q", "subvolume", "create", filepath.Join(base, "btrfs/sub"))
	device, _, _ := strings.Cut(output(t, "findmnt", "-n", "-o", "SOURCE", filepath.Join(base, "btrfs")), "[")
	mount(t, device, folder(t, base, "subvolume"), "btrfs", "subvol=sub")

	// Names.
	mount(t, "", folder(t, base, "no source"), "tmpfs", "size=1M")
	mount(t, "a\tb\x01c\\d#é漢", folder(t, base, "x y\n\t\x7f\\é漢#"), "tmpfs", "size=2M")

	// Bind mounts: of a folder, of a file, longer and shorter, of a server's.
	deep := folder(t, base, "a/b/c")
	mount(t, "deep", deep, "tmpfs", "size=3M")
	folder(t, deep, "inside")
	bind(t, filepath.Join(deep, "inside"), folder(t, base, "s"))
	bind(t, deep, folder(t, base, "short"))
	bind(t, deep, folder(t, base, "a/longer than that"))
	bind(t, filepath.Join(base, "ext4.img"), filepath.Join(base, "xfs/file"))
	agreeWithDF(t)

	// Mounts that hide others.
	over := folder(t, base, "over")
	mount(t, "below", over, "tmpfs", "size=4M")
	mount(t, "hidden", folder(t, over, "hidden"), "tmpfs", "size=5M")
	mount(t, "above", over, "tmpfs", "size=6M")
	mount(t, "above", over, "tmpfs", "size=7M")
	bind(t, filepath.Join(base, "ext4"), folder(t, base, "both"))
	mount(t, "upon ext4", filepath.Join(base, "both"), "tmpfs", "size=8M")
	agreeWithDF(t)

	// What holds nothing, and an overlay.
	mount(t, "proc", folder(t, base, "proc"), "proc", "")
	mount(t, "sysfs", folder(t, base, "sys"), "sysfs", "")
	mount(t, "devpts", folder(t, base, "pts"), "devpts", "")
	mount(t, "mqueue", folder(t, base, "mqueue"), "mqueue", "")
	mount(t, "debugfs", folder(t, base, "debug"), "debugfs", "")
	mount(t, "ramfs", folder(t, base, "ram"), "ramfs", "") // says that its size is 0
	mount(t, "overlay", folder(t, base, "overlay"), "overlay",
		fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder(t, base, "l"), folder(t, base, "u"), folder(t, base, "w")))
	agreeWithDF(t)
}

// TestDiskFiguresAgreeWithDF has a file system say what no real one does.
func TestDiskFiguresAgreeWithDF(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	const whole = math.MaxUint64
	minus := func(n int64) uint64 { return uint64(-n) }
	s := mountFUSE(t, "odd", "fuse.odd a b", folder(t, t.TempDir(), "x"), "")
	s.serve()
	for _, room := range []fuseStatfs{
		{Blocks: 0},
		{Blocks: 1},
		{Blocks: 1, Free: 1, Available: 1, Files: 10, FreeFiles: 10},
		{Blocks: 3, Free: 2, Available: 1, Files: 10, FreeFiles: 3},
		{Blocks: 1000, Free: 999, Available: 999},
		{Blocks: 1000, Free: 1, Available: 1, Files: 1},
		{Blocks: 1000, Free: 10, Available: 0},
		{Blocks: 1000, Free: 10, Available: minus(5)},
		{Blocks: 1000, Free: 990, Available: minus(10)},
		{Blocks: 1000, Free: 990, Available: minus(20)},
		{Blocks: 1000, Free: 1001, Available: 5},
		{Blocks: 1000, Free: 1001, Available: 1},
		{Blocks: 1000, Free: whole, Available: 5},
		{Blocks: 1000, Free: 10, Available: whole},
		{Blocks: whole, Free: 10, Available: 10},
		{Blocks: 1 << 40, Free: 1 << 39, Available: 1 << 38, BlockSize: 1 << 20, FragmentSize: 4096},
		{Blocks: 1 << 50, Free: 1, Available: 1, FragmentSize: 512},
		{Blocks: 1 << 62, Free: 3, Available: 1, FragmentSize: 1},
		{Blocks: 7, Free: 3, Available: 3, BlockSize: 513, FragmentSize: 511},
		{Blocks: 7, Free: 3, Available: minus(3), BlockSize: 513, FragmentSize: 511},
	} {
		if room.FragmentSize == 0 {
			room.FragmentSize = 4096
		}
		s.say(room, 0)
		agreeWithDF(t)
	}
}

// TestDiskErrors are those that df tells, and those that it does not.
func TestDiskErrors(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	base := t.TempDir()
	broken := mountFUSE(t, "broken", "fuse", folder(t, base, "broken"), "")
	broken.say(fuseStatfs{}, unix.EIO)
	broken.serve()
	private := mountFUSE(t, "private", "fuse", folder(t, base, "private"), "")
	private.say(fuseStatfs{}, unix.EACCES)
	private.serve()
	gone := mountFUSE(t, "gone", "fuse", folder(t, base, "gone"), "")
	gone.dev.Close()
	agreeWithDF(t)
	_, complaints := df(t)
	var told []string
	for line := range strings.Lines(complaints) {
		told = append(told, strings.ToLower(strings.TrimPrefix(strings.TrimSpace(line), "df: ")))
	}
	told = append(told, strings.ToLower(private.dir)+": permission denied") // df is silent about it
	notes := list(t, New(Options{}), dtc.StatusDisk).Notes
	for _, want := range told {
		if !strings.Contains(strings.ToLower(strings.Join(notes, "\n")), want) {
			t.Errorf("the notes %q lack %q", notes, want)
		}
	}
	if len(notes) != len(told) || len(told) != 3 {
		t.Errorf("notes %q, df said %q", notes, complaints)
	}
}

// TestDeadDisk has a server that does not answer.
func TestDeadDisk(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	base := t.TempDir()
	dead := mountFUSE(t, "server:/export", "fuse.sshfs", folder(t, base, "dead"), "")
	dead.say(fuseStatfs{Blocks: 100, Free: 50, Available: 50, FragmentSize: 1024}, 0)
	bind(t, dead.dir, folder(t, base, "again"))
	mount(t, "below", folder(t, base, "below"), "tmpfs", "size=1M")
	c := New(Options{})
	for range 3 {
		r := list(t, c, dtc.StatusDisk)
		var rows []string
		for _, d := range r.Disk {
			if dir, ours := strings.CutPrefix(d.MountedOn, base); ours {
				rows = append(rows, fmt.Sprint(d.Filesystem, " ", d.Type, " ", d.TotalBytes, " ", d.AvailableBytes, " ", d.UsedPercent, " ", dir))
			}
		}
		want := "server:/export fuse.sshfs -1 -1 NaN /dead; below tmpfs 1048576 1048576 0 /below"
		if got := strings.Join(rows, "; "); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		note := dead.dir + ": the fuse.sshfs file system of server:/export does not answer"
		if len(r.Notes) != 1 || r.Notes[0] != note {
			t.Errorf("notes %q, want %q", r.Notes, note)
		}
		if late, stuck := c.host.servers.questions(); late != 1 || stuck != 1 {
			t.Errorf("%d questions are late, %d stuck", late, stuck)
		}
	}
	dead.serve()
	eventually(t, "the server to come back", func() bool {
		late, _ := c.host.servers.questions()
		return late == 0
	})
	agreeWithDF(t)
	if r := list(t, c, dtc.StatusDisk); len(r.Notes) != 0 {
		t.Errorf("notes %q", r.Notes)
	}
}

// TestManyDeadServers has more dead servers than are waited for at a time, in
// one answer after the other: the machine's own disks are told all the same.
func TestManyDeadServers(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	base := t.TempDir()
	for i := range maxLate + 1 {
		mountFUSE(t, fmt.Sprintf("server:/%d", i), "fuse.sshfs", folder(t, base, fmt.Sprint(i)), "")
	}
	mount(t, "own", folder(t, base, "own"), "tmpfs", "size=1M")
	c := New(Options{})
	for range 2 {
		r := list(t, c, dtc.StatusDisk)
		if d := r.Disk[len(r.Disk)-1]; d.Filesystem != "own" || d.TotalBytes != 1<<20 {
			t.Errorf("got %+v", d)
		}
	}
	if late, _ := c.host.servers.questions(); late != maxLate {
		t.Errorf("%d questions are late", late)
	}
}

// TestDiskWithAnyName has a file system whose owner gave it a name that leads to
// a server which does not answer.
func TestDiskWithAnyName(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	base := t.TempDir()
	dead := mountFUSE(t, "server:/export", "fuse", folder(t, base, "dead"), "")
	mount(t, "shm", "/dev/shm", "tmpfs", "size=1M")
	if err := os.Symlink(dead.dir, "/dev/shm/link"); err != nil {
		t.Fatal(err)
	}
	const name = "/dev/shm/link/828fc648-9f30-43d8-a0b1-f7196a2edb66"
	named := mountFUSE(t, name, "fuse", folder(t, base, "named"), "")
	named.say(fuseStatfs{Blocks: 1, FragmentSize: 1}, 0)
	named.serve()
	giveUp := time.AfterFunc(time.Minute, func() { _ = dead.dev.Close() })
	notes := list(t, New(Options{}), dtc.StatusDisk).Notes
	if !giveUp.Stop() {
		t.Error("the answer waited for the dead server")
	}
	if len(notes) != 2 || !strings.Contains(notes[1], name) {
		t.Errorf("notes %q", notes)
	}
}

// TestDisksOfAnyMountTable compares what df makes of mount tables that are made
// up of mounts that are there.
func TestDisksOfAnyMountTable(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	root := t.TempDir()
	mount(t, "root", root, "tmpfs", "size=1M")
	folder(t, root, "proc/self")
	dirs := []string{"/", "/proc", "/missing", "relative"}
	for _, dir := range []string{"/a", "/bb", "/a/a", "/a/bb", "/ccc"} {
		mount(t, "x", folder(t, root, dir), "tmpfs", "size=1M")
		dirs = append(dirs, dir)
	}
	bind(t, root+"/bb", folder(t, root, "/a/bind"))
	bind(t, root+"/a", folder(t, root, "/bind"))
	dirs = append(dirs, "/a/bind", "/bind", "/bind/bind", "/a/..", "/bb/../ccc")
	var devices []string
	for _, dir := range dirs {
		var st unix.Stat_t
		if unix.Stat(root+dir, &st) == nil {
			devices = append(devices, fmt.Sprint(unix.Major(st.Dev), ":", unix.Minor(st.Dev)))
		}
	}
	pick := func(random *rand.Rand, of ...string) string { return of[random.IntN(len(of))] }
	c, file := New(Options{Root: root}), filepath.Join(root, "table")
	seed := uint64(time.Now().UnixNano())
	for i := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, i))
		var ours, theirs strings.Builder
		for n := range 1 + random.IntN(12) {
			dir := pick(random, dirs...)
			begin := fmt.Sprintf("%d 1 %s %s ", 100+n, pick(random, devices...), pick(random, "/", "/x", "/x/y", "/é"))
			end := fmt.Sprintf(" rw,relatime%s - %s %s rw\n", pick(random, "", " shared:1", " shared:1 master:2"),
				pick(random, "tmpfs", "tmpfs", "ext4", "nfs4", "cifs", "proc", "autofs", "afs", "fuse.portal", "none", "fuse.a\\040b"),
				pick(random, "x", "y", "", "/dev/z", "/dev/y", "s:/x", "s:/y", "//s/x", "//s/y", "-hosts", "a\\040b", "a\\011\\134b", "#", "none", "/dev/root", "rootfs",
					"/dev/mapper/luks-828fc648-9f30-43d8-a0b1-f7196a2edb66"))
			fmt.Fprint(&ours, begin, dir, end)
			full := root + dir
			if dir == "relative" {
				full = strings.TrimPrefix(root, "/") + "/" + dir // df compares lengths
			}
			fmt.Fprint(&theirs, begin, full, end)
		}
		for path, text := range map[string]string{root + "/proc/self/mountinfo": ours.String(), file: theirs.String()} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := output(t, "sh", "-c", `mount --no-mtab --bind "$0" /proc/$$/mountinfo && exec df -B1 `+dfColumns, file)
		got := diskLines(t, list(t, c, dtc.StatusDisk).Disk)
		want = strings.ReplaceAll(strings.ReplaceAll(dfLines(want), root+"/", "/"), root, "/")
		if got != want {
			t.Fatalf("seed %d: of the table\n%s\ngot\n%s\nwant\n%s", seed, ours.String(), got, want)
		}
	}
}

func TestDiskName(t *testing.T) {
	const uuid = "828fc648-9f30-43d8-a0b1-f7196a2edb66"
	h := tree(t, map[string]string{"dev/sda1": "", "dev/dm-0": ""})
	for name, to := range map[string]string{"dev/disk/by-uuid/" + uuid: "../../sda1", "dev/mapper/luks-" + uuid: "../dm-0", "dev/root": "sda1"} {
		folder(t, h.path(filepath.Dir(name)))
		if err := os.Symlink(to, h.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]string{
		"/dev/disk/by-uuid/" + uuid: "/dev/sda1", "/dev/mapper/luks-" + uuid: "/dev/dm-0", "/dev/root": "/dev/root",
		"/dev/mapper/gone-" + uuid: "/dev/mapper/gone-" + uuid, uuid: uuid, "/mnt/" + uuid: "/mnt/" + uuid, "": "",
	} {
		if got := h.diskName(source); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}
