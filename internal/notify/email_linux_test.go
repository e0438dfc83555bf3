package notify

import (
	"bytes"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEmailByOpenSMTPD has Debian's OpenSMTPD deliver a mail, in mount and pid
// namespaces of its own. That of Debian 12 cannot speak TLS: it is built for
// another version of OpenSSL than it has.
func TestEmailByOpenSMTPD(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755)) // its processes have users of their own
	}
	const nobody = 65534
	server, folder := freePort(t), filepath.Join(dir, "mail")
	must(t, os.Mkdir(folder, 0o700))
	must(t, os.Chown(folder, nobody, nobody))
	must(t, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, `table users { "ops" = "nobody", "boss" = "nobody" }
listen on 127.0.0.1 port %s
action "in" maildir %q virtual <users>
match from any for domain "example.org" action "in"
`, server[strings.LastIndex(server, ":")+1:], folder), 0o600))
	const script = `mount --make-rprivate / && mount -t tmpfs tmpfs /var/spool && mount -t tmpfs tmpfs /run && exec /usr/sbin/smtpd -d -f "$1"`
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", filepath.Join(dir, "conf"))
	c.Stdout, c.Stderr = t.Output(), t.Output()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	awaitPort(t, server)

	n := aNotice()
	n.Title += hostileName
	values := map[string]string{
		"server": server, "from": "DTC <dtc@example.org>", "to": "ops@example.org, Boss <boss@example.org>", "tls": "none",
	}
	must(t, sendTo(t, testSender(t, "email", dir, values), n))
	for _, got := range deliveredMails(t, folder, 2) { // one for each recipient
		checkMail(t, got, n)
	}
	values["to"] = "ops@example.net"
	if err := sendTo(t, testSender(t, "email", dir, values), n); !isRefused(err) || !strings.Contains(err.Error(), "550") {
		t.Errorf("a relay: %v", err)
	}
}

// freePort returns an address on which nobody listens.
func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().String()
}

func awaitPort(tb testing.TB, address string) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// deliveredMails returns the mails in a folder, once there are so many.
func deliveredMails(t *testing.T, folder string, n int) []*mail.Message {
	t.Helper()
	var files []string
	for deadline := time.Now().Add(20 * time.Second); len(files) < n; time.Sleep(10 * time.Millisecond) {
		var err error
		files, err = filepath.Glob(filepath.Join(folder, "new", "*"))
		must(t, err)
		if time.Now().After(deadline) {
			t.Fatalf("%d mails were delivered, want %d", len(files), n)
		}
	}
	var all []*mail.Message
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		got, err := mail.ReadMessage(bytes.NewReader(data))
		must(t, err)
		all = append(all, got)
	}
	return all
}
