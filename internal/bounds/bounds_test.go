package bounds

import "testing"

// fake notes that a test would have failed.
type fake struct {
	testing.TB
	failed bool
}

func (f *fake) Helper()               {}
func (f *fake) Errorf(string, ...any) { f.failed = true }

var kept []byte // so that it is not optimized away

func TestAlloc(t *testing.T) {
	for size, want := range map[int]bool{1 << 20: false, allocBase + 1<<20: true} {
		f := &fake{TB: t}
		end := Alloc(f, 0)
		kept = make([]byte, size)
		end()
		if kept = nil; f.failed != want {
			t.Errorf("%d bytes: failed %v, want %v", size, f.failed, want)
		}
	}
}
