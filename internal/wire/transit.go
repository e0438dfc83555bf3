package wire

import "time"

// beatEvery is how often a watch tells its sender's clock.
const beatEvery = 4 * pingEvery

// transit finds out how long a message was on its way, without clocks that
// agree: of all messages of the last beats the fastest is taken as not delayed
// at all. What came later than that by its clock was held up, mostly by a link
// that was cut for a moment. The clocks of two machines drift apart, so that
// only the last beats count.
type transit struct {
	began time.Time        // of the call, on this side's clock
	past  [4]time.Duration // the smallest offset between two beats, the newest first
	beats int              // of past that are known
}

// late returns how long the message that was sent at clock and has just come
// was held up.
func (t *transit) late(clock time.Duration) time.Duration {
	offset := time.Since(t.began) - clock
	if t.beats == 0 {
		t.past[0], t.beats = offset, 1
	}
	t.past[0] = min(t.past[0], offset)
	least := t.past[0]
	for _, o := range t.past[1:t.beats] {
		least = min(least, o)
	}
	return offset - least
}

// beat is late for a message that tells the clock and nothing else. It begins
// the next interval.
func (t *transit) beat(clock time.Duration) {
	copy(t.past[1:], t.past[:])
	t.past[0] = time.Since(t.began) - clock
	t.beats = min(t.beats+1, len(t.past))
}
