package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dtc/internal/config"
	"dtc/internal/notify"
)

// The verbs of the local socket about notices.
const (
	VerbSilence   = "silence"   // a SilenceRequest, answered by one Silence
	VerbSilences  = "silences"  // no request, answered by a Silence each
	VerbUnsilence = "unsilence" // an UnsilenceRequest, answered by a Silence each that was ended
	VerbNotices   = "notices"   // no request, answered by a NoticeStatus each receiver, in the order of the file
)

// SilenceRequest asks that for a time nobody is told of some of what happens.
type SilenceRequest struct {
	Hosts     []string      `json:"hosts,omitempty"`     // names, addresses, groups, or globs of one; none: all
	Processes []string      `json:"processes,omitempty"` // names of rules, or globs of one; none: whatever it is about
	States    []string      `json:"states,omitempty"`    // none: all
	For       time.Duration `json:"for"`                 // nanoseconds
	Reason    string        `json:"reason,omitempty"`
}

// Silence is a time in which nobody is told of some of what happens. Its times
// are UTC.
type Silence struct {
	ID        string    `json:"id"`
	Hosts     []string  `json:"hosts,omitempty"` // these three as of a SilenceRequest
	Processes []string  `json:"processes,omitempty"`
	States    []string  `json:"states,omitempty"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Reason    string    `json:"reason,omitempty"`
}

// UnsilenceRequest asks to end silences before their time. An id that there is
// not is an error, and then none is ended.
type UnsilenceRequest struct {
	IDs []string `json:"ids,omitempty"`
	All bool     `json:"all,omitempty"`
}

// NoticeStatus is how it goes with one receiver. Times are UTC; one that there is
// not is zero.
type NoticeStatus struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Waiting   int       `json:"waiting"`            // notices that are not delivered
	Oldest    time.Time `json:"oldest,omitzero"`    // when the oldest of these was made
	Delivered time.Time `json:"delivered,omitzero"` // when the last was
	Next      time.Time `json:"next_try,omitzero"`  // when the oldest is tried again
	Trying    time.Time `json:"trying,omitzero"`    // since when a try is under way
	Sent      int       `json:"sent"`               // since the service was started
	GivenUp   int       `json:"given_up"`           // since then
	Error     string    `json:"error,omitempty"`    // of the last try, if it failed; or why notices are not kept over a restart
}

// TestReceiver sends one receiver a notice that says it is a test. A relative
// path in its settings is relative to home. It needs no running service.
func TestReceiver(ctx context.Context, home string, r config.Receiver) error {
	return notify.Try(ctx, home, receiverOf(&r))
}

var errNoNotify = errors.New("the service runs without notices: start 'dtc serve' with --only notify, or without --only")

// answerNotices does a local command about notices.
func (m *Monitor) answerNotices(verb string, request json.RawMessage, emit func(any) error) error {
	if m.notifier == nil {
		return errNoNotify
	}
	switch verb {
	case VerbSilence:
		return m.silence(request, emit)
	case VerbSilences:
		return emitSilences(m.notifier.Silences(), emit)
	case VerbUnsilence:
		return m.unsilence(request, emit)
	default:
		for _, s := range m.notifier.Status() {
			err := emit(NoticeStatus{
				Name: s.Name, Kind: s.Kind, Waiting: s.Waiting, Oldest: s.Oldest.UTC(), Delivered: s.Delivered.UTC(),
				Next: s.Next.UTC(), Trying: s.Trying.UTC(), Sent: s.Sent, GivenUp: s.GivenUp, Error: s.Error,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func (m *Monitor) silence(request json.RawMessage, emit func(any) error) error {
	var req SilenceRequest
	if err := json.Unmarshal(request, &req); err != nil {
		return fmt.Errorf("silence: %w", err)
	}
	now := time.Now()
	s, err := m.notifier.Silence(notify.Silence{
		Hosts: req.Hosts, Processes: req.Processes, States: req.States, Start: now, End: now.Add(req.For), Reason: req.Reason,
	})
	if err != nil {
		return err
	}
	m.log.Info("silence", "id", s.ID, "hosts", s.Hosts, "processes", s.Processes, "states", s.States, "end", s.End, "reason", s.Reason)
	return emitSilences([]notify.Silence{s}, emit)
}

func (m *Monitor) unsilence(request json.RawMessage, emit func(any) error) error {
	var req UnsilenceRequest
	if err := json.Unmarshal(request, &req); err != nil {
		return fmt.Errorf("end silences: %w", err)
	}
	if req.All == (len(req.IDs) > 0) {
		return errors.New("end silences: name their ids, or say that all are meant")
	}
	ended, err := m.notifier.Unsilence(req.IDs...)
	if err != nil {
		return err
	}
	m.log.Info("silences ended", "silences", len(ended))
	return emitSilences(ended, emit)
}

func emitSilences(list []notify.Silence, emit func(any) error) error {
	for _, s := range list {
		s.Start, s.End = s.Start.UTC(), s.End.UTC()
		if err := emit(Silence(s)); err != nil {
			return err
		}
	}
	return nil
}
