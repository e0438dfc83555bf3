// Package ship sends the bytes of followed files to a monitor, each once.
//
// The monitor's copy is the only record of what was sent: on each connection
// the monitor tells what it has, and that is found again among the files by
// identity and content. Nothing is kept here for the case that it must be sent
// again: the files are the buffer.
//
// A [Shipper] has two halves. Run sees what happens to the files, connection or
// not, and holds those that were rotated away. Serve is one connection: a
// synchronous round, and a thin loop around it.
package ship

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// Link is one connection to the monitor. Send buffers, Flush sends; a frame's
// Data is not kept. Recv has one caller at a time.
type Link interface {
	Send(f *dtc.Frame) error
	Flush() error
	Recv(f *dtc.Frame) error
	Buffered() int
	Close() error
}

// File is one row of what is to be followed: a path or a pattern, and the alias
// or the template of aliases that its bytes go to.
type File struct {
	Path    string // absolute; may hold *, ? and **
	Alias   string // may hold {name} and {dir}; has {name} if Path is a pattern
	FromEnd bool   // a file that the monitor has never seen is copied from its end
}

// Options are what a Shipper needs.
type Options struct {
	Files  []File
	Scan   time.Duration // between safety scans of the paths, 3 s if 0
	Boot   string        // id of this boot of the host
	Logger *slog.Logger
	Limits Limits

	// CheckAlias says why a name that a pattern made is no legal alias; nil
	// leaves that to the monitor.
	CheckAlias func(alias string) error
}

// Limits bound what a Shipper takes of its host. Zero fields have defaults.
type Limits struct {
	Descriptors int // files open at a time; default: what the process may have, less a reserve
	Rotated     int // rotated files held open; default 1024, at most half of Descriptors
}

const (
	defaultScan    = 3 * time.Second
	defaultRotated = 1024
)

// Shipper follows files and sends their bytes over whatever link it is given.
type Shipper struct {
	// rounds is held during a round of Run: what a round has begun to find,
	// another goroutine sees found. It is taken before mu.
	rounds sync.Mutex
	looked chan struct{} // closed after the first round

	log     *slog.Logger
	boot    string
	host    *follow.Host
	rotated int // limit of rotated files held
	check   func(alias string) error
	changed chan struct{}
	finder  *finder
	watch   func() (*follow.Watcher, error) // makes the watcher; tests have others
	retries [2]time.Duration                // after which a fenced stream is asked for again: first, later; tests have others
	yields  bool                            // rotated files that are quiet are let go; tests have others
	serving sync.Mutex                      // held by Serve

	mu        sync.RWMutex // guards all below; taken before any stream's
	files     []File
	scan      time.Duration
	rules     []*rule
	streams   map[string]*stream          // by folded alias
	places    map[string]map[string]*spot // by folder and name
	tokens    map[uint64]*stream          // of watched files
	known     map[string]knownStream      // by folded alias: what the monitor said last
	rejected  map[uint64]string           // what is told to the monitor, by id
	watcher   *follow.Watcher             // while Run runs
	watched   map[string]bool             // folders; false: cannot be watched
	unwatched map[string]string           // of these why, in a few words
	unheard   string                      // why there is no watcher
	session   atomic.Pointer[session]     // the connection, nil if there is none
	token     uint64                      // the last one given
	added     uint64                      // streams ever made

	held atomic.Int64 // rotated files that are held

	dmu    sync.Mutex           // guards all below; taken last
	dirty  map[*stream]struct{} // paths to be looked at
	active map[*stream]struct{} // changed lately
	rescan bool                 // patterns are to be looked at
}

// spot is what a name in a folder is to the streams: several may follow it.
type spot struct {
	streams []*stream
}

// New returns a Shipper that does nothing until Run is called.
func New(opts Options) *Shipper {
	s := &Shipper{
		log:       opts.Logger,
		boot:      opts.Boot,
		watch:     follow.NewWatcher,
		retries:   [2]time.Duration{retryFirst, retryLater},
		yields:    follow.HoldsNames,
		check:     opts.CheckAlias,
		host:      follow.NewHost(opts.Limits.Descriptors),
		changed:   make(chan struct{}, 1),
		streams:   map[string]*stream{},
		looked:    make(chan struct{}),
		places:    map[string]map[string]*spot{},
		tokens:    map[uint64]*stream{},
		rejected:  map[uint64]string{},
		watched:   map[string]bool{},
		unwatched: map[string]string{},
		dirty:     map[*stream]struct{}{},
		active:    map[*stream]struct{}{},
	}
	s.finder = newFinder(s)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.check == nil {
		s.check = checkLength
	}
	s.rotated = opts.Limits.Rotated
	if s.rotated <= 0 {
		s.rotated = defaultRotated
	}
	s.rotated = min(s.rotated, s.host.Limit()/2)
	s.Configure(opts.Files, opts.Scan)
	return s
}

// errServing refuses a second connection beside the first.
var errServing = errors.New("serve a connection: another one is being served")

// Serve speaks with the monitor over link until it breaks or ctx is done, and
// closes it. It returns nil if ctx is done.
func (s *Shipper) Serve(ctx context.Context, link Link) error {
	if !s.serving.TryLock() {
		return errors.Join(errServing, link.Close())
	}
	defer s.serving.Unlock()
	select {
	case <-s.looked: // what the monitor knows is matched against what is there
	case <-ctx.Done():
		return link.Close()
	}
	x := newSession(s, link)
	s.session.Store(x)
	err := x.run(ctx)
	s.session.Store(nil)
	x.detach()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Configure replaces what is followed and how often it is scanned. What was
// followed already under the same alias and path goes on.
func (s *Shipper) Configure(files []File, scan time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if scan <= 0 {
		scan = defaultScan
	}
	s.files, s.scan = files, scan
	s.rules = s.rules[:0:0]
	for _, f := range files {
		f.Path = filepath.Clean(f.Path)
		r := &rule{File: f}
		if follow.HasWildcard(f.Path) {
			r.glob = follow.NewGlobber(f.Path)
		}
		s.rules = append(s.rules, r)
	}
	s.dropUnwanted()
	for _, r := range s.rules {
		if r.glob == nil {
			s.addPlain(r)
		}
	}
	s.soilPatterns()
}

// signal wakes Run.
func (s *Shipper) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
