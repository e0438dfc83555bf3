package render

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dtc"
	"dtc/internal/status"
)

const ownMountsEnv = "RENDER_OWN_MOUNTS"

// inOwnMounts runs the rest of a test in a process whose mounts nobody else
// sees. It returns false in the process that started that one.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMountsEnv) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), ownMountsEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in mounts of its own: %v\n%s", err, out)
	}
	return false
}

// answerOf asks this machine and renders its answer as text.
func answerOf(t *testing.T, s dtc.Status, opt Options) string {
	t.Helper()
	var b strings.Builder
	d := NewDocument(&b, s, 1, opt)
	err := status.New(status.Options{}).Get(t.Context(), dtc.Query{Status: s}, func(r *dtc.Report) error { return d.Add(0, r) })
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDiskAsDF(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	dir := t.TempDir()
	mount := func(source, name, size string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(source, path, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
		if err := os.WriteFile(filepath.Join(path, "file"), make([]byte, 300_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same := func() {
		t.Helper()
		for option, human := range map[string]bool{"-T": false, "-hT": true} {
			var got, want string
			for range 50 { // until nobody writes a file in between
				want = run(t, "", "df", option)
				if got = answerOf(t, dtc.StatusDisk, Options{Human: human}); got == want {
					break
				}
			}
			compare(t, got, want)
		}
	}
	same()
	mount("x", "漢字 and é", "1M")
	mount("表示幅テスト", "tab\tnewline\nescape\x1bdelete\x7f", "10M")
	mount(strings.Repeat("long", 20), "back\\slash#", "300k")
	mount("esc\x1b[31m", "sizes", "1234567k")
	for _, size := range []string{"1023k", "1025k", "9961k", "9973k", "10238k", "101990k", "1023m", "1048577k", "99g", "1023g", "9t", "999p"} {
		mount(size, size, size)
	}
	same()
}

// utmpRecord is a struct utmp(5) of a login, as on amd64.
func utmpRecord(kind byte, line, user, host string, seconds uint32) []byte {
	b := make([]byte, 384)
	b[0] = kind
	copy(b[8:40], line)
	copy(b[44:76], user)
	copy(b[76:332], host)
	binary.NativeEndian.PutUint32(b[340:], seconds)
	return b
}

func TestUsersAsWho(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	if err := syscall.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	same := func(records ...[]byte) {
		t.Helper()
		var file []byte
		for _, r := range records {
			file = append(file, r...)
		}
		if err := os.WriteFile("/run/utmp", file, 0o644); err != nil {
			t.Fatal(err)
		}
		compare(t, answerOf(t, dtc.StatusUsers, Options{}), run(t, "LC_ALL=C.UTF-8", "who"))
	}
	same()
	same(utmpRecord(2, "~", "reboot", "6.1.0", 1_790_000_000))
	same(utmpRecord(7, "pts/0", "root", "10.0.0.9", 1_790_000_000),
		utmpRecord(7, "tty1", "a-name-longer-than-8", "", 1_790_900_000),
		utmpRecord(7, "a-line-longer-than-12", "me", "2001:db8::1", 1_767_250_000),
		utmpRecord(7, "pts/1", "漢字", "é", 1),
		utmpRecord(7, "pts/2", "back\\slash", "tmux(812).%0", 2_000_000_000),
		utmpRecord(7, ":0", "desk", ":0", 1_780_000_000),
		utmpRecord(8, "pts/3", "gone", "", 1_780_000_000),
		utmpRecord(7, strings.Repeat("l", 32), strings.Repeat("n", 32), strings.Repeat("h", 256), 1_780_000_000))
}
