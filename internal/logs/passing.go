package logs

// What comes of a backlog passes through the memory of the monitor instead of
// filling it: a copy that got passAt bytes since its last mark has all but its
// last passKeep let go once they are safe. Those who follow it read them there;
// whoever reads further back has the disk read. The memory that comes free takes
// the next bytes: 1 GiB into fresh memory took a virtual machine up to three times
// as long, and what the host had there for others stays.
const (
	passAt   = 4 << 20
	passKeep = 8 << 20
)

// syncBytes makes the data file durable up to a mark.
func (c *replica) syncBytes(lock unlocker, m *syncMark) error {
	f, came := c.data, m.base-c.durableBase()
	return c.unlocked(lock, func() error {
		if err := c.place.sync(f); err != nil {
			return err
		}
		if from, to := passed(m.physical, came); from < to {
			letGo(f, from, to)
		}
		return nil
	})
}

// passed returns which bytes of a data file are let go when the last ones before
// an end have become safe. What was kept the last time is among them.
func passed(end, came int64) (from, to int64) {
	if came < passAt {
		return 0, 0
	}
	return max(end-came-passKeep, 0), max(end-passKeep, 0)
}
