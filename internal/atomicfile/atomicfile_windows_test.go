package atomicfile

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// A private file's access list has nobody in it whom the folder's may have. (Wine
// shows it as it maps it to a mode, so the list is not compared whole.)
func TestPrivateAccess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for range 2 {
		if err := Private(path, []byte("secret")); err != nil {
			t.Fatal(err)
		}
		sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		if err != nil {
			t.Fatal(err)
		}
		list := sd.String()
		for _, other := range []string{";WD)", ";BU)", ";AU)", ";AN)", ";IU)"} {
			if strings.Contains(list, other) {
				t.Errorf("access list %s lets in %s", list, other)
			}
		}
		if !strings.Contains(list, ";SY)") {
			t.Errorf("access list %s keeps out SYSTEM", list)
		}
	}
	if got := read(t, path); got != "secret" {
		t.Errorf("got %q", got)
	}
}
