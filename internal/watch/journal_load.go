package watch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"dtc"
)

// Bounds on a journal that is read. What this program writes is far below.
const (
	maxJournal   = 1 << 30  // bytes of a file; the rest is not read
	maxLine      = 16 << 20 // bytes of a line; a longer one is left out
	maxRules     = 1000     // of one asker
	maxShortText = 256      // bytes of an id or a name
	maxLongText  = 4096     // bytes of a condition, a command line, a reason
)

// former is what a journal says of the former run of the agent.
type former struct {
	head     headRecord
	sessions []*formerSession // in the order in which they came to be
	faults   int              // lines that make no sense
	fault    error            // of the first
}

// formerSession is a session of the former run.
type formerSession struct {
	asker   string
	left    int64 // since 1970; 0: a call ran
	targets map[int]targetRecord
	rules   map[string]*ruleRecord
	kept    []*keptRecord
}

// The ways in which a whole journal cannot be used.
var (
	errUnfinished   = errors.New("it was not written to the end of what it begins with")
	errOtherVersion = errors.New("it is of another version of this program")
)

// readJournal reads a journal up to the last line that ends what belongs
// together. A line that makes no sense is counted and left out.
func readJournal(file io.ReadSeeker) (*former, error) {
	whole, err := wholeLines(file)
	if err != nil {
		return nil, err
	}
	if whole == 0 {
		return nil, errUnfinished
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f := &former{}
	begun := false
	err = eachLine(io.LimitReader(file, whole), func(line []byte, _ int64) error {
		var r record
		err := json.Unmarshal(line, &r)
		switch {
		case !begun && (err != nil || r.Head == nil):
			return errUnfinished
		case !begun && r.Head.Version != journalVersion:
			return errOtherVersion
		case !begun:
			begun = true
			f.head = *r.Head
		case err == nil:
			err = f.apply(&r)
		}
		if err != nil {
			f.blame(err)
		}
		return nil
	})
	if err == nil && !begun {
		err = errUnfinished
	}
	if err == nil && len(f.head.Boot) > maxShortText {
		err = errUnfinished
	}
	return f, err
}

func (f *former) blame(err error) {
	if f.faults++; f.faults == 1 {
		f.fault = err
	}
}

// wholeLines returns the length of a journal up to its last line that ends what
// belongs together; 0 if there is none.
func wholeLines(r io.Reader) (whole int64, err error) {
	done := []byte(`{"done":true}`)
	err = eachLine(r, func(line []byte, end int64) error {
		if bytes.Equal(line, done) {
			whole = end
		}
		return nil
	})
	return whole, err
}

// eachLine gives the whole lines of r to take, without their ends, and where
// they end: without what follows the last line's end, without empty lines and
// those that are too long.
func eachLine(r io.Reader, take func(line []byte, end int64) error) error {
	in := bufio.NewReaderSize(io.LimitReader(r, maxJournal), 64<<10)
	var line []byte
	end, long := int64(0), false
	for {
		part, err := in.ReadSlice('\n')
		end += int64(len(part))
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if text := bytes.TrimRight(line, "\r\n"); !long && len(text) > 0 {
			if err := take(text, end); err != nil {
				return err
			}
		}
		line, long = line[:0], false
	}
}

var errSenseless = errors.New("a record has a value out of its limits")

// apply takes one record up.
func (f *former) apply(r *record) error {
	if r.Done {
		return nil
	}
	if r.Forget != "" {
		f.sessions = slices.DeleteFunc(f.sessions, func(s *formerSession) bool { return s.asker == string(r.Forget) })
		return nil
	}
	if !short(r.Asker) {
		return errSenseless
	}
	s, err := f.session(string(r.Asker))
	if err != nil {
		return err
	}
	switch {
	case r.Session != nil:
		s.left = max(0, r.Session.Left)
	case r.Target != nil:
		return s.target(r.Target)
	case len(r.Untarget) > 0:
		for _, pid := range r.Untarget {
			delete(s.targets, pid)
		}
	case r.Rule != nil:
		return s.rule(r.Rule)
	case r.Unrule != "":
		delete(s.rules, string(r.Unrule))
	case r.Kept != nil:
		return s.keep(r.Kept)
	case r.Dropped != nil:
		s.drop(r.Dropped)
	}
	return nil
}

// session returns an asker's session, a new one if there is none.
func (f *former) session(asker string) (*formerSession, error) {
	for _, s := range f.sessions {
		if s.asker == asker {
			return s, nil
		}
	}
	if len(f.sessions) >= MaxAskers {
		return nil, fmt.Errorf("there are more than %d askers", MaxAskers)
	}
	s := &formerSession{asker: asker, targets: map[int]targetRecord{}, rules: map[string]*ruleRecord{}}
	f.sessions = append(f.sessions, s)
	return s, nil
}

func (s *formerSession) target(r *targetRecord) error {
	_, known := s.targets[r.PID]
	if r.PID < 1 || !short(r.Boot) || !short(r.Name) || !known && len(s.targets) >= MaxTargets {
		return errSenseless
	}
	s.targets[r.PID] = *r
	return nil
}

func (s *formerSession) rule(r *ruleRecord) error {
	known := s.rules[string(r.Name)] != nil
	sane := short(r.Name) && r.Name != "" && short(r.User) && long(r.Match) && long(r.Exe) && long(r.PIDFile) && long(r.Unit)
	if !sane || r.Min < 0 || r.Max < 0 || r.RestartWithin < 0 || !known && len(s.rules) >= maxRules {
		return errSenseless
	}
	s.rules[string(r.Name)] = r
	return nil
}

func (s *formerSession) keep(r *keptRecord) error {
	if !r.sane() {
		return errSenseless
	}
	if n := len(s.kept); n > 0 && s.kept[n-1].Run == r.Run && s.kept[n-1].Number >= r.Number {
		return errors.New("a sighting stands there twice, or in a wrong order")
	}
	if s.kept = append(s.kept, r); len(s.kept) > MaxQueue {
		s.kept = s.kept[1:]
	}
	return nil
}

func (r *keptRecord) sane() bool {
	for _, t := range []text{r.Run, r.Boot, r.Name, r.Rule} {
		if !short(t) {
			return false
		}
	}
	if r.Post != nil && (!short(r.Post.Parent) || !long(r.Post.Command)) {
		return false
	}
	states := []dtc.State{
		dtc.StateAlive, dtc.StateDead, dtc.StateMissing, dtc.StateRestarted,
		dtc.StateCount, dtc.StateNormal, dtc.StateReplaced,
	}
	return r.Number > 0 && r.PID >= 0 && long(r.Reason) && r.Run != "" && slices.Contains(states, dtc.State(r.State))
}

// drop drops all up to a sighting; nothing if it is not there.
func (s *formerSession) drop(m *markRecord) {
	for i, r := range s.kept {
		if r.Run == m.Run && r.Number == m.Number {
			s.kept = s.kept[i+1:]
			return
		}
	}
}

func short(t text) bool { return len(t) <= maxShortText }
func long(t text) bool  { return len(t) <= maxLongText }

// lastAlive is when the former run was alive last, as far as it is known.
type lastAlive struct {
	Boot      text  `json:"boot"`
	SinceBoot int64 `json:"since_boot_ns"`
	Wall      int64 `json:"wall_ns"` // since 1970
}

// newer returns the later of two moments of one boot, and l where b is of
// another boot than head.
func (l lastAlive) orHead(h *headRecord) lastAlive {
	begun := lastAlive{Boot: h.Boot, SinceBoot: h.SinceBoot, Wall: h.Wall}
	if l.Boot != h.Boot || l.SinceBoot < h.SinceBoot {
		return begun
	}
	return l
}

// since is the same in time since this boot: before it, if it was another one.
func (l lastAlive) since(boot string, clock clock) time.Duration {
	if string(l.Boot) == boot {
		return notZero(min(time.Duration(l.SinceBoot), clock.now))
	}
	return max(-noBound, min(-1, clock.at(time.Unix(0, l.Wall))))
}

// notZero returns d, or the least above 0.
func notZero(d time.Duration) time.Duration {
	if d == 0 {
		return 1
	}
	return d
}
