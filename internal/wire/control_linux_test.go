package wire

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestControlUnderALongPath(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		dir = filepath.Join(dir, strings.Repeat("d", 200))
	}
	path := filepath.Join(dir, "control")
	for range 2 {
		stop := control(t, path, func(_ context.Context, _ string, _ json.RawMessage, emit func(any) error) error { return emit(1) })
		if err := Control(t.Context(), path, "x", nil, nil); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
			t.Errorf("mode %s", info.Mode())
		}
		stop()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, dir) {
			t.Errorf("left open: %s", to)
		}
	}
}
