package doctor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dtc/internal/config"
)

const helperEnv = "DTC_DOCTOR_TEST"

// TestMain is the helper too: what the machine's checks find of a process
// without rights.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	home := os.Getenv(helperEnv)
	checks := append(Machine(), Files(home, []config.File{{Path: "secret", Alias: "a"}, {Path: "closed/secret", Alias: "b"}}))
	found := Run(context.Background(), 1<<40, checks)
	if err := Print(os.Stdout, found, false); err != nil {
		os.Exit(1)
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	got := text(t, Run(t.Context(), 1<<40, Machine()))
	for _, want := range []string{"ok    rights: started as this user, an agent sees everything\n", "ok    kernel: "} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// TestWithoutRights tells, of a user without any right and with few files, what
// an agent would not see.
func TestWithoutRights(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for dir := home; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) { // others are to enter
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(home, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{home, filepath.Join(home, "closed")} {
		if err := os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(home, "doctor.test")
	self, err := os.Executable()
	if err == nil {
		err = os.Link(self, program)
	}
	if err != nil {
		err = exec.CommandContext(t.Context(), "cp", self, program).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "prlimit", "--nofile=200", program)
	cmd.Env = append(os.Environ(), helperEnv+"="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"without CAP_DAC_READ_SEARCH files that", "without CAP_SYS_PTRACE open files", "without CAP_CHECKPOINT_RESTORE mapped",
		"without CAP_NET_ADMIN starts", "without CAP_SYSLOG where", "without CAP_LEASE whether",
		"bad   files:       " + home + "/secret cannot be read by this user; run it as root",
		"bad   files:       " + home + "/closed/secret may not be looked at by this user; run it as root",
		"bad   descriptors: 200 files may be open here, and about 256 will be; raise it",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got\n%swant\n%s", out, want)
		}
	}
}

func TestCapEff(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint64{"Name:\tx\nCapEff:\t0000000000000005\nCapBnd:\t0\n": 5, "CapEff:\t000001ffffffffff": 1<<41 - 1} {
		if got, err := effective([]byte(in)); err != nil || got != want {
			t.Errorf("%q: %x, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "CapEff:\n", "CapEff:\tx", "Name:\tCapEff:\t5"} {
		if _, err := effective([]byte(in)); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for release, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "5.3": {5, 3}, "4.19.0-27-amd64": {4, 19}, "x": {0, 0}} {
		if major, minor := version(release); major != want[0] || minor != want[1] {
			t.Errorf("%s: %d.%d", release, major, minor)
		}
	}
}

func TestWatches(t *testing.T) {
	t.Parallel()
	if f := watches(1); f.Level != OK {
		t.Error(f)
	}
	if f := watches(1 << 40); f.Level != Warn || !strings.Contains(f.Advice, "sysctl fs.inotify.max_user_watches=") {
		t.Error(f)
	}
}
