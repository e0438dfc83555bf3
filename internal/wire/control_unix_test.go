//go:build !windows

package wire

import (
	"os"
	"path/filepath"
	"testing"
)

// Who may move nothing between folders has the same socket, also where an old one
// is in its place.
func TestListenInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	for range 2 {
		ln, err := listenInPlace(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%v, %v", info, err)
		}
		conn, err := dialUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		ln.Close()
	}
}
