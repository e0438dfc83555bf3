package ship

import (
	"os"
	"testing"

	"dtc"
)

// A file that was rotated by copying, and later emptied and renamed while no
// agent ran, tells all the same which of its siblings came before it: the copy
// of what was sent is not sent again.
func TestEmptiedAndRenamedWhileAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(2)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	all = append(all, a.write(noise(60_000))...)
	b, err := os.ReadFile(w.path("app.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Truncate(w.path("app.log"), 0)
	all = append(all, a.lines(8)...)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	_ = os.Truncate(w.path("app.log"), 0)
	w.rename("app.log.1", "app.log.2")
	w.rename("app.log", "app.log.1")
	w.start()
	w.up()
	w.still("app.log", all)
	a.reopen()
	all = append(all, a.lines(3)...)
	w.still("app.log", all)
	for _, e := range w.told(dtc.StateGap) {
		if e.To != nil { // that something may be lost is true, that something is lost is not
			t.Errorf("gap %+v", e)
		}
	}
}
