package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// Silence is a time, asked for by an operator, in which some of what happens is
// not told. What is still wrong when it is over is told then.
type Silence struct {
	ID        string    `json:"id"`
	Hosts     []string  `json:"hosts,omitempty"`     // names, addresses, groups, or globs of one; none: all
	Processes []string  `json:"processes,omitempty"` // names of rules or of processes, or globs of one, or pids; none: whatever it is about
	States    []string  `json:"states,omitempty"`    // none: all
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Reason    string    `json:"reason,omitempty"`
}

// Bounds of silences.
const (
	maxSilences     = 1000
	maxSilenceItems = 1000 // of one
	maxSilenceText  = 4096 // bytes of one item, or of the reason
)

// check refuses what makes no silence.
func (s *Silence) check(now time.Time) error {
	if !s.End.After(now) || !s.End.After(s.Start) {
		return errors.New("silence: it would be over before it begins: name a later end")
	}
	texts := slices.Concat(s.Hosts, s.Processes, s.States)
	if len(texts) > maxSilenceItems {
		return fmt.Errorf("silence: %d hosts, processes and states, at most %d are possible: use a glob or a group", len(texts), maxSilenceItems)
	}
	for _, text := range append(texts, s.Reason) {
		if len(text) > maxSilenceText {
			return fmt.Errorf("silence: a text of %d bytes, at most %d are possible", len(text), maxSilenceText)
		}
	}
	for _, text := range s.States {
		if !slices.Contains(dtc.States(), dtc.State(text)) {
			return fmt.Errorf("silence: there is no state %q", text)
		}
	}
	return nil
}

// end is mute's.
func (s *Silence) end(now time.Time) time.Time {
	if now.Before(s.Start) || !now.Before(s.End) {
		return time.Time{}
	}
	return s.End
}

func (s *Silence) mute(r *roster) mute {
	named, processes := newHosts(r, anyOf(matchers(s.Hosts))), matchers(s.Processes)
	everywhere, states := len(s.Hosts) == 0, slices.Clone(s.States)
	covers := func(e *dtc.Event) bool {
		if len(states) > 0 && !slices.Contains(states, string(e.State)) {
			return false
		}
		if !everywhere && !named.has(e) || e.Kind == dtc.EventNotify && !everywhere && len(states) == 0 { // that is no host's
			return false
		}
		return len(processes) == 0 || e.Kind == dtc.EventProcess && slices.ContainsFunc(processNames(e), anyOf(processes))
	}
	return mute{covers: covers, end: s.end}
}

func matchers(items []string) []func(string) bool {
	list := make([]func(string) bool, len(items))
	for i, text := range items {
		list[i] = fitting(text)
	}
	return list
}

func anyOf(matchers []func(string) bool) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(matchers, func(fits func(string) bool) bool { return fits(name) })
	}
}

// processNames returns all by which the process of an event may be called.
func processNames(e *dtc.Event) []string {
	var names []string
	if e.Rule != "" {
		names = append(names, e.Rule)
	}
	if e.PID != 0 {
		names = append(names, strconv.Itoa(e.PID))
	}
	if e.Name != "" {
		names = append(names, e.Name)
	}
	return names
}

// loadSilences reads the silences that are not over.
func loadSilences(dir string, now time.Time, log *slog.Logger) ([]Silence, error) {
	path := filepath.Join(dir, silencesFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the silences: %w", err)
	}
	var list []Silence
	if err := json.Unmarshal(data, &list); err != nil {
		log.Error("the silences are not readable, and there are none now", "file", path, "error", err)
		return nil, nil
	}
	return slices.DeleteFunc(list, func(s Silence) bool { return s.ID == "" || s.check(now) != nil }), nil
}

// saveSilences is the reverse of loadSilences.
func saveSilences(dir string, list []Silence) error {
	data, err := json.MarshalIndent(list, "", "\t")
	if err == nil {
		err = os.MkdirAll(dir, folderMode) // somebody may have removed it
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, silencesFile), data, stateMode)
	}
	if err != nil {
		return fmt.Errorf("keep the silences: %w", err)
	}
	return nil
}

// Silence begins a silence, now if it has no Start, and returns it with its ID.
// It is durable then.
func (n *Notifier) Silence(s Silence) (Silence, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if s.Start.IsZero() {
		s.Start = now
	}
	if err := s.check(now); err != nil {
		return Silence{}, err
	}
	kept := n.standing(now)
	if len(kept) >= maxSilences {
		return Silence{}, fmt.Errorf("silence: there are %d already, and more are not possible: end some", len(kept))
	}
	s.ID = newNoticeID()[:8]
	for slices.ContainsFunc(kept, func(other Silence) bool { return other.ID == s.ID }) {
		s.ID = newNoticeID()[:8]
	}
	return s, n.setSilences(append(kept, s), now)
}

// setSilences replaces the silences, on the disk first. n.mu is held.
func (n *Notifier) setSilences(list []Silence, now time.Time) error {
	if err := saveSilences(n.opts.Dir, list); err != nil {
		return err
	}
	n.drain(now) // what was told before
	n.core.silences = list
	n.core.setMutes(now)
	n.touch(now)
	return nil
}

// Silences returns the silences that are not over, in the order in which they
// were made.
func (n *Notifier) Silences() []Silence {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.standing(n.now())
}

// standing is Silences. n.mu is held.
func (n *Notifier) standing(now time.Time) []Silence {
	return slices.DeleteFunc(slices.Clone(n.core.silences), func(s Silence) bool { return !s.End.After(now) })
}

// Unsilence ends silences, all if no id is given, and returns them. If there is
// none of an id, none is ended.
func (n *Notifier) Unsilence(ids ...string) ([]Silence, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	var ended, kept []Silence
	for _, s := range n.standing(now) {
		if len(ids) == 0 || slices.Contains(ids, s.ID) {
			ended = append(ended, s)
		} else {
			kept = append(kept, s)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(ended, func(s Silence) bool { return s.ID == id }) {
			return nil, fmt.Errorf("silence %q: there is none: see dtc silence ls", id)
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	return ended, n.setSilences(kept, now)
}
