package status

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/render"
)

// enterNewNetwork puts the rest of the test into a network namespace of its own,
// and with it the programs that it starts. The test's thread ends with it.
func enterNewNetwork(tb testing.TB) {
	tb.Helper()
	runtime.LockOSThread() // for ever
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		tb.Fatal(err)
	}
	ip(tb, "link set lo up")
}

// toolOutput returns what a tool prints.
func toolOutput(tb testing.TB, env, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", env)
	var diagnosis strings.Builder
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, diagnosis.String())
	}
	return string(out)
}

// ip runs ip(8) with arguments that are separated by spaces.
func ip(tb testing.TB, args string) {
	tb.Helper()
	toolOutput(tb, "", "ip", strings.Fields(args)...)
}

// textOf renders what the collector answers.
func textOf(tb testing.TB, c *Collector, status dtc.Status) string {
	tb.Helper()
	var text strings.Builder
	r := list(tb, c, status)
	if err := render.Text(&text, &r, render.Options{}); err != nil {
		tb.Fatal(err)
	}
	return text.String()
}

// sameAsTool compares an answer with what a tool prints. What moves is taken
// from the tool before and after ours, until it stood still.
func sameAsTool(tb testing.TB, ours, tool func() string) {
	tb.Helper()
	var before, got, after string
	for range 50 {
		before, got, after = tool(), ours(), tool()
		if before == after {
			break
		}
	}
	if got == after {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(after, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			tb.Errorf("line %d:\n got %q\nwant %q", i+1, g, w)
		}
	}
}

// otherNetwork starts a process in another network namespace.
func otherNetwork(tb testing.TB) (pid int) {
	tb.Helper()
	return sleeper(tb, func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET} })
}

// namedNetwork makes a network namespace with a name of ip-netns(8).
func namedNetwork(tb testing.TB) (name string) {
	tb.Helper()
	name = fmt.Sprintf("dtc-test-%d", os.Getpid())
	ip(tb, "netns add "+name)
	tb.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	return name
}

// tun makes a network device whose other end is a descriptor.
func tun(tb testing.TB, name string, flags uint16) (fd int) {
	tb.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	req, err := unix.NewIfreq(name)
	if err != nil {
		tb.Fatal(err)
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		tb.Fatal(err)
	}
	return fd
}

// attachXDP gives a network device a program that passes all packets.
func attachXDP(tb testing.TB, device string) {
	tb.Helper()
	// mov r0, XDP_PASS; exit: see Documentation/bpf/standardization in Linux.
	program := [...]byte{0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0}
	license := [...]byte{'G', 'P', 'L', 0}
	const typeXDP, name = 6, "dtc_pass"
	var attr [72]byte
	binary.NativeEndian.PutUint32(attr[0:], typeXDP)
	binary.NativeEndian.PutUint32(attr[4:], uint32(len(program)/8))
	binary.NativeEndian.PutUint64(attr[8:], uint64(uintptr(unsafe.Pointer(&program))))
	binary.NativeEndian.PutUint64(attr[16:], uint64(uintptr(unsafe.Pointer(&license))))
	copy(attr[48:], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)))
	runtime.KeepAlive(&program)
	runtime.KeepAlive(&license)
	if errno != 0 {
		tb.Fatal("load a program: ", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	pin(tb, int(fd), device)
}

// pin attaches a program through a file, the only way that ip knows without a
// compiler.
func pin(tb testing.TB, fd int, device string) {
	tb.Helper()
	dir := tb.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	path := append([]byte(dir+"/program"), 0)
	var attr [16]byte
	binary.NativeEndian.PutUint64(attr[0:], uint64(uintptr(unsafe.Pointer(&path[0]))))
	binary.NativeEndian.PutUint32(attr[8:], uint32(fd))
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_PIN, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)))
	runtime.KeepAlive(path)
	if errno != 0 {
		tb.Fatal("pin a program: ", errno)
	}
	ip(tb, "link set dev "+device+" xdpgeneric pinned "+dir+"/program")
}

// get answers a query.
func get(tb testing.TB, c *Collector, q dtc.Query) dtc.Report {
	tb.Helper()
	var r dtc.Report
	err := c.Get(context.Background(), q, func(part *dtc.Report) error {
		sockets := append(r.Sockets, part.Sockets...)
		r = *part
		r.Sockets = sockets
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
