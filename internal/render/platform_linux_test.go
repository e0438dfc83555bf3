package render

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dtc"
)

// manager is what hostnamectl asks of systemd itself.
type manager map[string]dbus.Variant

// GetAll is a method of org.freedesktop.DBus.Properties.
func (m manager) GetAll(string) (map[string]dbus.Variant, *dbus.Error) { return m, nil }

// startHostnamed starts systemd-hostnamed(8) and a message bus of its own, with
// this program in the place of systemd.
func startHostnamed(t *testing.T) {
	t.Helper()
	if err := syscall.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/run/dbus", "/run/systemd/system"} { // the latter says that systemd runs
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	startDaemon(t, "dbus-daemon", "--system", "--nofork", "--nopidfile")
	var bus *dbus.Conn
	soon(t, "the bus", func() (err error) {
		bus, err = dbus.ConnectSystemBus()
		return err
	})
	t.Cleanup(func() { bus.Close() })
	virtualization := strings.TrimSpace(run(t, "", "systemd-detect-virt"))
	systemd := manager{
		"Virtualization": dbus.MakeVariant(unless("none", virtualization)),
		"Architecture":   dbus.MakeVariant(architecture(strings.TrimSpace(run(t, "", "uname", "-m")))),
	}
	if err := bus.Export(systemd, "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.RequestName("org.freedesktop.systemd1", 0); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, "/usr/lib/systemd/systemd-hostnamed")
	soon(t, "systemd-hostnamed", func() error { return exec.Command("hostnamectl").Run() })
}

func startDaemon(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func soon(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestPlatformAsHostnamectl gives the machine other names than it has.
func TestPlatformAsHostnamectl(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	startHostnamed(t)
	upper := filepath.Join(t.TempDir(), "upper")
	work := filepath.Join(filepath.Dir(upper), "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("overlay", "/etc", "overlay", 0, fmt.Sprintf("lowerdir=/etc,upperdir=%s,workdir=%s", upper, work)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount("/etc", syscall.MNT_DETACH) })
	same := func(files map[string]string) {
		t.Helper()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join("/etc", name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, _, _ := strings.Cut(answerOf(t, dtc.StatusPlatform, Options{}), "       Boot Time:")
		got = got[:strings.LastIndexByte(got, '\n')+1] // with the spaces before it
		compare(t, got, run(t, "", "uname", "-a")+run(t, "", "hostnamectl"))
	}
	same(nil)
	same(map[string]string{"hostname": "# ours\n\nWeb_1.example..org\n", "machine-info": "CHASSIS=laptop\n", "os-release": "PRETTY_NAME='漢 \"OS\"'\nNAME=x\nCPE_NAME=\"cpe:/o:x\"\n"})
	same(map[string]string{"hostname": "", "machine-info": "PRETTY_HOSTNAME=\"Lennart's \\\"Laptop\\\\\"\nICON_NAME=foo\nCHASSIS=desktop\nDEPLOYMENT=production\nLOCATION='Left Rack'\n", "machine-id": "uninitialized\n"})
	for _, chassis := range []string{"server", "tablet", "watch", "handset", "vm", "convertible", "embedded"} {
		same(map[string]string{"machine-info": "CHASSIS=" + chassis + "\nPRETTY_HOSTNAME=x\n"})
	}
}
