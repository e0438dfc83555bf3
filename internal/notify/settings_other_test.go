//go:build !windows

package notify

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWarnings(t *testing.T) {
	home, values := t.TempDir(), map[string]string{"url": "http://x/"}
	for name, mode := range map[string]os.FileMode{"secret": 0o644, "authorization": 0o640, "ca": 0o644} {
		path := filepath.Join(home, name)
		must(t, os.WriteFile(path, []byte("x"), mode))
		must(t, os.Chmod(path, mode)) // whatever the umask is
		values[name] = "file=" + name
	}
	got := Settings{Home: home, Values: values}.Warnings()
	if len(got) != 1 || !strings.HasPrefix(got[0], filepath.Join(home, "secret")+": everybody") {
		t.Errorf("warnings: %q", got)
	}
}

// A pipe into which nobody writes keeps nobody waiting.
func TestPipeIsNoValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	for _, name := range []string{"url", "ca"} {
		s := testSender(t, "webhook", "", map[string]string{"url": "http://127.0.0.1:1/", name: "file=" + path})
		err := sendTo(t, s, aNotice())
		checkError(t, err)
		if err != nil && !strings.Contains(err.Error(), "not a regular file") {
			t.Error(err)
		}
	}
}
