package follow

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dtc"
	"dtc/internal/bounds"
)

func hash16(b []byte) dtc.Hash {
	full := sha256.Sum256(b)
	return dtc.Hash(full[:16])
}

func TestOrigin(t *testing.T) {
	for _, o := range []Origin{
		{},
		{Identity{1, [2]uint64{2, 3}, 4, 5}, 6, "/var/log/app.log"},
		{Identity{1 << 63, [2]uint64{1<<64 - 1, 1<<64 - 1}, 1<<64 - 1, -1 << 63}, 1<<64 - 1, ""},
	} {
		b := o.Encode()
		got, err := DecodeOrigin(b)
		if err != nil || got != o || len(b) > dtc.MaxIdentity {
			t.Errorf("%+v became %+v, %v, %d bytes", o, got, err, len(b))
		}
	}
	long := Origin{Path: strings.Repeat("x", 600)}
	if b := long.Encode(); len(b) > dtc.MaxIdentity {
		t.Errorf("%d bytes", len(b))
	}
}

func FuzzDecodeOrigin(f *testing.F) {
	f.Add(Origin{Identity{1, [2]uint64{2, 3}, 4, 5}, 6, "/var/log/app.log"}.Encode())
	f.Add([]byte{1, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		o, err := DecodeOrigin(b)
		if err != nil {
			return
		}
		again, err := DecodeOrigin(o.Encode())
		if err != nil || again.Identity != o.Identity || again.Incarnation != o.Incarnation {
			t.Fatalf("%+v became %+v, %v", o, again, err)
		}
	})
}

// A removed file's inode number goes to the next one on ext4. They are told
// apart all the same.
func TestInodeReuse(t *testing.T) {
	for _, root := range []string{t.TempDir(), "/dev/shm"} {
		dir := filepath.Join(root, "dtc-follow-test")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatalf("a file system of each kind is needed: %v", err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "f")
		h := NewHost(0)
		seen := map[Identity]bool{}
		reused := 0
		nodes := map[uint64]bool{}
		for range 50 {
			w := openAppend(t, path)
			f, err := h.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if seen[f.Identity()] {
				t.Fatalf("%s: the identity %+v comes twice", root, f.Identity())
			}
			if !f.Identity().Strong() {
				t.Fatalf("%s: the identity %+v is weak", root, f.Identity())
			}
			if nodes[f.Identity().Node[0]] {
				reused++
			}
			seen[f.Identity()], nodes[f.Identity().Node[0]] = true, true
			_ = f.Close()
			_ = w.Close()
			_ = os.Remove(path)
		}
		if h.Opened() != 0 {
			t.Errorf("%d files are open", h.Opened())
		}
		t.Logf("%s: %d of 50 inode numbers were used before", root, reused)
	}
}
