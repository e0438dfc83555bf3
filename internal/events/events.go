// Package events is the monitor's record of what happened in the fleet: the
// process logs under logs/<ip>/, and a hidden file beside them for what stands
// in no process log. An event is one line, one write; it is on the disk after
// Sync, and it stands there once however often it is told.
//
// The readers work on the files alone, whether the service runs or not.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"dtc"
)

// syncDelay is how long a line may stay unsynced that nobody waits for.
const syncDelay = time.Second

// Options are the settings of a [Store].
type Options struct {
	Now    func() time.Time // nil: time.Now. Its zone is the zone of lines and file names
	Logger *slog.Logger

	// Recorded is given each event as it was written, once it would survive a
	// kill -9: those of one caller of Append in the order of its calls. It must
	// not block. nil: nobody is told.
	Recorded func(dtc.Event)
}

// Store appends events. It is the only writer of its files; its methods may be
// called by any number of goroutines.
type Store struct {
	dir      string
	now      func() time.Time
	log      *slog.Logger
	recorded func(dtc.Event)

	wake chan struct{} // of capacity 1: something was appended

	mu      sync.Mutex
	records map[series]*record // guarded by mu
}

// Open opens the store in dir, the home's logs/, which need not exist yet.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if _, err := listFolders(dir); err != nil {
		return nil, err
	}
	if opts.Recorded == nil {
		opts.Recorded = func(dtc.Event) {}
	}
	return &Store{
		dir: dir, now: opts.Now, log: opts.Logger, recorded: opts.Recorded,
		wake: make(chan struct{}, 1), records: map[series]*record{},
	}, nil
}

// Append writes an event into its host's folder: process events, and hosts that
// come and go, into the process log of the host's port; others into the hidden
// file, which needs no port. A zero Time is now. When it returns nil the
// line is written (it survives a kill -9) but only [Store.Sync] makes it
// durable.
//
// An event whose id stands in the last few files of its kind is dropped, with
// no error. After an error it may be appended again: however often, its line
// stands in the file once.
func (s *Store) Append(folder string, port uint16, e dtc.Event) error {
	if err := check(folder, port, &e); err != nil {
		return err
	}
	now := s.now()
	if e.Time.IsZero() {
		e.Time = now
	}
	of := eventSeries(folder)
	if inProcessLog(&e) {
		of = processSeries(folder, port)
	}
	isNew, err := s.record(of).append(&e, now.Location())
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if isNew {
		s.recorded(e)
	}
	return err
}

// check refuses what makes no line, and cuts texts to the length of one.
func check(folder string, port uint16, e *dtc.Event) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	switch {
	case e.ID == "" || len(e.ID) > maxID:
		return fmt.Errorf("record an event of %s: its id has %d bytes and not 1 to %d", folder, len(e.ID), maxID)
	case e.State == "" || e.Kind == "":
		return fmt.Errorf("record the event %s of %s: it has no kind or no state", e.ID, folder)
	case inProcessLog(e) && port == 0:
		return fmt.Errorf("record the event %s of %s: the port of its host is not known", e.ID, folder)
	case e.Kind == dtc.EventProcess && !hasSubject(e):
		return fmt.Errorf("record the event %s of %s: %d is no pid", e.ID, folder, e.PID)
	}
	for _, text := range []*string{&e.Host, &e.Address, &e.Name, &e.Rule, &e.Alias, &e.Reason} {
		*text = cut(*text, maxText)
	}
	if e.PostMortem != nil {
		post := *e.PostMortem // the caller's stays as it is
		post.Parent, post.Command = cut(post.Parent, maxText), cut(post.Command, maxCommand)
		e.PostMortem = &post
	}
	return nil
}

// cut shortens a text to so many bytes, or a few less: between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for end := limit; end > limit-utf8.UTFMax; end-- {
		if utf8.RuneStart(text[end]) {
			return text[:end]
		}
	}
	return text[:limit] // no UTF-8
}

// Sync makes every event durable that was appended before the call, to the
// hosts' folders given or, if there are none, to all. Calls at the same time
// share the work. An error means that some may not survive a power loss yet:
// call it again.
func (s *Store) Sync(ctx context.Context, folders ...string) error {
	var errs []error
	for _, r := range s.recordsOf(folders) {
		if err := ctx.Err(); err != nil {
			return err
		}
		errs = append(errs, r.sync())
	}
	return errors.Join(errs...)
}

// Run makes durable in the background what nobody syncs, until ctx is done.
func (s *Store) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		wait := time.NewTimer(syncDelay)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		for _, r := range s.recordsOf(nil) {
			if err := r.sync(); err != nil {
				s.log.Error("sync the record of events", "err", err)
			}
		}
	}
}

// tryName is the file that [Store.Try] writes: hidden, and no record.
const (
	tryName  = ".try"
	tryBytes = 4096 // of a block, which most lines fit in
)

// Try says whether a line could be written into a host's folder now: it writes
// one elsewhere in it, and takes that away again. Two calls at the same time may
// both fail.
func (s *Store) Try(folder string) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, folder)
	if err := makeFolder(dir); err != nil {
		return fmt.Errorf("try to record events: %w", err)
	}
	path := filepath.Join(dir, tryName)
	err := errors.Join(os.WriteFile(path, make([]byte, tryBytes), fileMode), os.Remove(path))
	if err != nil {
		return fmt.Errorf("try to record events: %w", err)
	}
	return nil
}

// recordsOf returns the records of some folders, or of all.
func (s *Store) recordsOf(folders []string) []*record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var records []*record
	for of, r := range s.records {
		if len(folders) == 0 || slices.Contains(folders, of.folder) {
			records = append(records, r)
		}
	}
	return records
}

// Close makes all events durable and closes the files.
func (s *Store) Close() error {
	var errs []error
	for _, r := range s.recordsOf(nil) {
		errs = append(errs, r.sync(), r.close())
	}
	return errors.Join(errs...)
}

// record returns the record of a series.
func (s *Store) record(of series) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[of]
	if r == nil {
		r = &record{dir: s.dir, series: of, log: s.log, open: map[string]*file{}}
		s.records[of] = r
	}
	return r
}
