package logs

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestRollCutShortOfManyExtents has a roll cut short before its record where the
// first extents of the live file are remembered no more: the file has its name
// back all the same.
func TestRollCutShortOfManyExtents(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.sync = func(*os.File) error { return nil }
		o.syncfs = func(*os.File) error { return errors.New("no syncfs") }
	})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.open(1, 2, "two")
	const n = maxExtents/2 + 100
	for i := range n {
		a.append(1, 1, i, "a")
		a.append(1, 2, i, "b")
	}
	a.durable(1, 2, n)
	check(t, r.compact("app.log"))
	st := r.stream("app.log")
	st.mu.Lock()
	name := segmentName("app.log", st.c.begun.base)
	forgotten := st.c.forgotten
	st.mu.Unlock()
	if forgotten == 0 {
		t.Fatal("every extent is remembered")
	}
	r.stop()
	check(t, os.Rename(r.path("app.log"), r.path(name)))
	r = r.again()
	eventually(t, "the copy has its name back", func() bool { _, err := os.Stat(r.path("app.log")); return err == nil })
	if got, want := r.content("app.log"), strings.Repeat("ab", n); got != want {
		t.Errorf("the copy has %d bytes, not %d", len(got), len(want))
	}
	if told := r.events.states(); len(told) > 0 {
		t.Errorf("told %v", told)
	}
}
