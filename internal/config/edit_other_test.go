//go:build !windows

package config

import (
	"os"
	"path/filepath"
	"testing"
)

// An edited file keeps its mode, and a link to it stays one.
func TestEditKeepsMode(t *testing.T) {
	path := writeFile(t, small)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.xml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := AddHost(link, newHost); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info.Mode(), err)
	}
	if m, err := LoadMonitor(path); err != nil || len(m.Hosts) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}
