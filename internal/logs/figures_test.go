package logs

import (
	"fmt"
	"testing"

	"dtc"
)

// TestListLoadsNothing lists more copies than may be open: those that were let
// go are told as they were, and nothing is let go for them.
func TestListLoadsNothing(t *testing.T) {
	const streams = 8
	r := newRig(t, func(o *Options) { o.MaxOpen = 2 })
	a := r.connect(peerA)
	for i := range streams {
		n := uint32(i + 1)
		a.attach(n, fmt.Sprintf("%d.log", i))
		a.open(n, 1, "one")
		a.append(n, 1, 0, text(100+i))
		f := a.frame(dtc.FrameSize, n, 1)
		f.Offset, f.End = 1000, 7
		a.send(f)
	}
	a.ping()
	look := func() (loaded []string) {
		t.Helper()
		for i, s := range r.Streams() {
			n := int64(100 + i)
			if s.Received != n || s.Size != n || s.Position != n || s.Generation != 1 || s.State != StreamLive || s.Lag == nil || *s.Lag != 1000-n+7 {
				t.Errorf("%+v", s)
			}
		}
		for i := range streams {
			st := r.stream(fmt.Sprintf("%d.log", i))
			st.mu.Lock()
			if st.c != nil {
				loaded = append(loaded, st.alias)
			}
			st.mu.Unlock()
		}
		return loaded
	}
	before := look()
	if after := look(); fmt.Sprint(before) != fmt.Sprint(after) || len(after) == streams {
		t.Errorf("loaded %v, then %v", before, after)
	}
	// The source has gone on to a generation that the copy has nothing of.
	f := a.frame(dtc.FrameSize, 1, 2)
	f.Offset = 50
	a.send(f)
	a.ping()
	if s := r.Streams()[0]; s.Lag == nil || *s.Lag != 50 {
		t.Errorf("%+v", s)
	}
}
