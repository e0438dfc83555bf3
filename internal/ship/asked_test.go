package ship

import (
	"os"
	"sync"
	"testing"
	"time"

	"dtc"
)

// holding is a link that keeps the monitor's answers until it is released.
type holding struct {
	Link
	asked   func() // there is an answer
	release <-chan struct{}
}

func (l holding) Recv(f *dtc.Frame) error {
	err := l.Link.Recv(f)
	if err == nil && f.Kind == dtc.FrameAnswer {
		l.asked()
		<-l.release
	}
	return err
}

// TestPrunedWhileAsked has files rotated while nobody follows them, the first of
// which was truncated and written anew, and removed while the monitor is asked
// whether the others are copies: its bytes come before theirs all the same.
func TestPrunedWhileAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	truncate := func() {
		if err := os.Truncate(w.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
	}
	all := a.write(noise(9000))
	w.start()
	w.up()
	w.wait("app.log", all)
	truncate()
	all = append(all, a.lines(3)...)
	w.wait("app.log", all)
	w.kill()
	truncate()
	all = append(all, a.lines(20)...)
	for _, to := range []string{"app.log.3", "app.log.2", "app.log.1"} {
		w.rename("app.log", to)
		a.reopen()
		all = append(all, a.lines(3)...)
	}
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.over = func(l Link) Link {
		return holding{l, func() { once.Do(func() { close(asked) }) }, release}
	}
	w.start()
	w.up()
	select {
	case <-asked:
	case <-time.After(60 * time.Second):
		t.Error("the monitor was asked nothing")
	}
	if err := os.Remove(w.path("app.log.3")); err != nil {
		t.Fatal(err)
	}
	close(release)
	w.still("app.log", all)
}
