package watch

import "time"

// standstillAfter is how late the agent's sign of life has to be to say that the
// agent was kept from working: a busy machine makes it late too, but not so much.
const standstillAfter = 3 * time.Second

// standstill knows when the agent was last kept from working, stopped by a signal
// or with its whole machine. What the system told in that time the agent hears
// only afterwards. Times are since boot; the zero value knows of none.
type standstill struct {
	last     time.Duration // the agent worked then; 0: it does not say when it works
	due      time.Duration // and was to say so again then
	from, to time.Duration // of the last standstill
}

// works notes that the agent works at a time, and is to say so again when that is
// due.
func (p *standstill) works(at, due time.Duration) {
	if p.last != 0 && at > p.due+standstillAfter {
		p.from, p.to = p.last, at
	}
	p.last, p.due = at, due
}

// rests notes that the agent does not say any more that it works.
func (p *standstill) rests() { p.last = 0 }

// before returns the begin of the standstill in which that may have happened which
// the agent hears of at a time; 0 if there was none.
func (p *standstill) before(at time.Duration) time.Duration {
	switch {
	case p.last != 0 && at > p.due+standstillAfter:
		return p.last
	case p.to != 0 && at < p.to+standstillAfter: // the backlog takes a moment
		return p.from
	default:
		return 0
	}
}
