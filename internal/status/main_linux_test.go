package status

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperEnv makes this program one of the processes that the tests look at, and
// folderEnv is the folder that it changes to.
const (
	helperEnv = "DTC_STATUS_HELPER"
	folderEnv = "DTC_STATUS_FOLDER"
)

func TestMain(m *testing.M) {
	// No test gets the first thread then: one that enters a network of its own
	// would take /proc/net with it, which is that thread's, for all tests after.
	runtime.LockOSThread()
	var open *opener
	if dir := os.Getenv(folderEnv); dir != "" {
		if err := os.Chdir(dir); err != nil {
			os.Exit(1)
		}
	}
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "locked":
		if err := unix.Mlockall(unix.MCL_CURRENT); err != nil {
			os.Exit(1)
		}
	case "title":
		writeTitle("worker: \x01 of\n many ")
	case "no arguments":
		dropArguments()
	case "blocked":
		holdFile()
	case "files in a new network":
		loopbackUp()
		open = openEverything()
	case "files":
		open = openEverything()
	case "tell files":
		tellFiles()
		return
	case "files elsewhere":
		open = new(opener)
		open.openIn(".")
	case "any files", "sockets", "sockets cut off", "files in a chroot", "files in new mounts", "files in no folder", "many descriptors",
		"as many as may be", "unused sockets":
		open = openMore(os.Getenv(helperEnv))
	case "services":
		tellServices()
		return
	case "services as nobody":
		tellServicesAsNobody()
		return
	}
	_, _ = os.Stdout.WriteString("ready\n")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	runtime.KeepAlive(open)
}

// helper starts this program as a process of the named kind, and waits until it
// is ready.
func helper(tb testing.TB, kind string, change func(*exec.Cmd)) int {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+kind)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if change != nil {
		change(cmd)
	}
	// Until the new process executes, it holds up our scheduler: it must not wait
	// for a file system then that we serve.
	if cmd.Dir != "" {
		cmd.Env, cmd.Dir = append(cmd.Env, folderEnv+"="+cmd.Dir), ""
	}
	start(tb, cmd)
	if _, err := out.Read(make([]byte, 16)); err != nil {
		tb.Fatalf("helper %q did not get ready: %v", kind, err)
	}
	return cmd.Process.Pid
}

// sleeper starts a process that sleeps, and kills it at the end of the test.
func sleeper(tb testing.TB, change func(*exec.Cmd)) int {
	tb.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	if change != nil {
		change(cmd)
	}
	start(tb, cmd)
	return cmd.Process.Pid
}

func start(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	executes(tb, cmd.Process.Pid, cmd.Path)
}

// executes waits until a process runs a program: a new one is a copy of its
// parent before.
func executes(tb testing.TB, pid int, program string) {
	tb.Helper()
	want, err := filepath.EvalSymlinks(program)
	if err != nil {
		tb.Fatal(err)
	}
	eventually(tb, "the process to execute "+program, func() bool {
		now, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
		return err == nil && now == want
	})
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// terminal opens a new terminal.
func terminal(tb testing.TB) (tty *os.File) {
	tb.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = control.Close() })
	fd := int(control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		tb.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		tb.Fatal(err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tty.Close() })
	return tty
}

// copyOf copies a program.
func copyOf(tb testing.TB, program, name string) string {
	tb.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		tb.Fatal(err)
	}
	return path
}
