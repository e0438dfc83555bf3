package watch

import (
	"sync"
	"time"
)

// wallClock tells when something was that is known by the time since boot, by
// the clock as it was then. That clock is set: at the start of a machine without
// a good one of its own by hours or years, and of a virtual machine that was
// halted for a while by as long as that. The zero value is ready.
type wallClock struct {
	mu    sync.Mutex
	least time.Duration // see observe; guarded by mu
	known bool          // guarded by mu
}

// observe notes by how much the clock is ahead of the time since boot, and
// returns the least that it ever was as far as we know: at one time that we saw,
// or at the boot.
func (c *wallClock) observe() (least time.Duration) {
	ahead := time.Duration(time.Now().UnixNano()) - now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.known, c.least = true, ahead
		if booted, ok := clockAtBoot(); ok {
			c.least = min(c.least, time.Duration(booted.UnixNano()))
		}
	}
	c.least = min(c.least, ahead)
	return c.least
}

// earliest is when something was, at a time since boot, at the earliest: by the
// clock that wrote the times of files then.
func (c *wallClock) earliest(at time.Duration) time.Time {
	return time.Unix(0, int64(c.observe()+at))
}
