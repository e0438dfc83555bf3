package watch

import (
	"os"
	"strconv"
	"testing"
	"time"

	"dtc"
)

func TestWallClock(t *testing.T) {
	var c wallClock
	first := c.observe()
	if ahead := time.Duration(time.Now().UnixNano()) - now(); first > ahead+time.Second {
		t.Errorf("the clock was ahead by %v, and is by %v", first, ahead)
	}
	c.least -= time.Hour // it was set forward by an hour since
	if again := c.observe(); again > first-time.Hour {
		t.Errorf("%v is forgotten for %v", first-time.Hour, again)
	}
	c.least = time.Duration(time.Now().UnixNano()) // it was set back by as long as since the boot
	if again := c.observe(); again > first+time.Second {
		t.Errorf("%v, before it was %v", again, first)
	}
}

// TestPIDFileFromBeforeTheClockWasSet has a file that was written when its process
// had started, an hour ago by the clock.
func TestPIDFileFromBeforeTheClockWasSet(t *testing.T) {
	f, c := newTestFinder(t), start(t, "exit 0")
	path := pidfile(t, strconv.Itoa(c.pid))
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, hour, hour); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, f, dtc.ProcessRule{PIDFile: path}, "it is another one, or the clock was set")
	f.clock.least -= time.Hour
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: path}, c.pid)
	f.clock.least += 30 * time.Minute
	wantNothing(t, f, dtc.ProcessRule{PIDFile: path}, "it is another one, or the clock was set")
}
