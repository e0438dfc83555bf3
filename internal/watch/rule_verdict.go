package watch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dtc"
)

// How long a rule is not judged.
const (
	blindRetry = 10 * time.Second // between two looks when nothing can be said of the rule
	blindFor   = time.Minute      // then that is told
)

// verdict is what is said of a rule as a whole.
type verdict uint8

const (
	verdictNone    verdict = iota // nothing has been told yet
	verdictNormal                 // as many as it allows
	verdictMissing                // none
	verdictFew                    // fewer than it allows
	verdictMany                   // more than it allows
	verdictExcess                 // more than are watched
	verdictUnknown                // it could not be judged for a while
)

// judgement is the part of a [machine] that compares how many there are with how
// many there are to be.
type judgement struct {
	told    verdict
	reason  string        // told with it
	place   uint64        // of the sighting that told it
	looked  time.Duration // when the last look began
	wrong   time.Duration // since when there is something wrong to be told; 0: there is not
	crowded time.Duration // since when there are more than max; 0: there are not
	since   time.Duration // since when looks say nothing; 0: they do
	problem string        // what the last look said in the place of processes
}

// count is how many processes there are. An end that waits for its successor
// counts: it has not been told.
func (m *machine) count() int {
	return len(m.members) - m.astray + m.excess + len(m.waiting)
}

// verdict is what there is to say now.
func (m *machine) verdict() verdict {
	n := m.count()
	switch {
	case n == 0:
		return verdictMissing
	case n < m.min:
		return verdictFew
	case m.max > 0 && n > m.max:
		return verdictMany
	case m.excess > 0:
		return verdictExcess
	default:
		return verdictNormal
	}
}

// judge tells that all is well again. What is wrong waits for a look.
func (m *machine) judge(at time.Duration) verdict {
	v := m.verdict()
	switch {
	case v != verdictMany:
		m.crowded = 0
	case m.crowded == 0:
		m.crowded = at
	}
	switch {
	case !m.begun: // nobody has looked
	case v == m.told:
		m.wrong = 0
	case v == verdictNormal:
		m.say(v)
	case m.wrong == 0:
		m.wrong = at
	}
	return v
}

// judgeByLook is judge by a full look that began when it did. What is wrong is
// told, if it was ripe by then.
func (m *machine) judgeByLook(began time.Duration) {
	v := m.judge(began)
	if m.wrong != 0 && m.ripe(v) <= began {
		m.say(v)
	}
}

// ripe is when what is wrong may be told. It has to last where it may be on the
// way to what is right: more than there are to be, and fewer where there were
// none. Fewer by an end have waited already.
func (m *machine) ripe(v verdict) time.Duration {
	switch {
	case v == verdictMany:
		return max(m.wrong, m.crowded+m.within)
	case v == verdictFew && m.told == verdictMissing:
		return m.wrong + m.within
	default:
		return m.wrong
	}
}

// judgeSilently is for the first look: how things stand is told by present.
func (m *machine) judgeSilently() {
	v := m.verdict()
	m.told, m.reason, m.place, m.wrong, m.dirty = v, m.why(v), 0, 0, true
}

// say tells a verdict.
func (m *machine) say(v verdict) {
	m.told, m.reason, m.wrong, m.dirty = v, m.why(v), 0, true
	m.tells = append(m.tells, m.sentence())
}

// why is the reason of a verdict, "" where its number says it all.
func (m *machine) why(v verdict) string {
	switch v {
	case verdictMissing:
		return m.problem
	case verdictExcess:
		return fmt.Sprintf("more processes match than the %d of a rule, or the %d of a host, that are watched", maxMembers, MaxTargets)
	case verdictUnknown:
		return "it cannot be said how many there are: " + m.problem
	default:
		return ""
	}
}

// sentence is the verdict that was told last.
func (m *machine) sentence() tell {
	t := tell{state: dtc.StateCount, count: m.count(), reason: m.reason}
	switch m.told {
	case verdictNormal:
		t.state = dtc.StateNormal
	case verdictMissing:
		t.state = dtc.StateMissing
	default:
	}
	return t
}

// present is how things stand: the members that are there, and the verdict. What
// is told by a sighting behind acked is on its way, and left out.
func (m *machine) present(acked uint64) []tell {
	list := make([]*member, 0, len(m.members))
	for _, n := range m.members {
		if n.place <= acked {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.began, b.began), cmp.Compare(a.id.PID, b.id.PID))
	})
	tells := make([]tell, 0, len(list)+1)
	for _, n := range list {
		tells = append(tells, tell{state: dtc.StateAlive, member: n})
	}
	if m.told != verdictNone && m.place <= acked {
		tells = append(tells, m.sentence())
	}
	return tells
}

// blind takes in a look that says nothing.
func (m *machine) blind(err error, at time.Duration) {
	m.problem = oneLine(err.Error())
	if m.since == 0 {
		m.since = at
	}
	m.judge(at)
}

// sighted takes in a look that says something: with an error, that nothing
// matches.
func (m *machine) sighted(err error) {
	m.since, m.problem = 0, ""
	if err != nil {
		m.problem = oneLine(err.Error())
	}
}

// tick does what is due without a look: a death is told, and that nothing can
// be said of the rule.
func (m *machine) tick(at time.Duration) {
	if at >= m.resumed+lookPatience {
		m.expire(at - lookPatience)
	}
	v := m.judge(at)
	if m.since != 0 && at >= m.since+blindFor && m.inTheDark(v) {
		m.say(verdictUnknown)
	}
}

// inTheDark says whether nobody has been told yet that something may be wrong.
func (m *machine) inTheDark(v verdict) bool {
	return (m.told == verdictNone || m.told == verdictNormal) && v != verdictNormal
}

// never is later than all that is due.
const never = time.Duration(math.MaxInt64)

// dueTick is when tick has something to do.
func (m *machine) dueTick() time.Duration {
	due := never
	if len(m.waiting) > 0 {
		due = max(m.waiting[0].end.at+m.within, m.resumed) + lookPatience
	}
	if m.since != 0 && m.inTheDark(m.verdict()) {
		due = min(due, m.since+blindFor)
	}
	return due
}

// dueLook is when a full look is wanted.
func (m *machine) dueLook() time.Duration {
	switch {
	case !m.begun:
		return never
	case m.since != 0:
		return m.looked + blindRetry
	case m.stale:
		return 0
	}
	due := never
	if len(m.waiting) > 0 {
		due = m.waiting[0].end.at + m.within
	}
	if m.wrong != 0 {
		due = min(due, m.ripe(m.verdict()))
	}
	return due
}

// maxReason is how long the words are in which it is told why a rule is judged
// so, in bytes.
const maxReason = 512

// oneLine makes one line of a text, within that bound.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
