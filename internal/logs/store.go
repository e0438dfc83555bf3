package logs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"dtc"
)

// DefaultFloorPercent is how much of the disk stays free where nothing else is
// said.
const DefaultFloorPercent = 5

// Options are the surroundings of a [Store].
type Options struct {
	// Report tells of an event of a stream in a folder. An error means that it
	// was not recorded: it is told again, under the same ID. Nil: nobody is told.
	Report func(folder string, e dtc.Event) error

	// Folder names the folder of an agent that has no stream yet.
	Folder func(dtc.Peer) (folder string, err error)

	// Valid tells whether an agent still has a certificate that counts: the
	// streams of one that has none go over to the agent that comes for them.
	// Nil: each counts.
	Valid func(peerID string) bool

	// CheckAlias says why an alias is none. Nil: only what would harm the
	// store is refused.
	CheckAlias func(string) error

	// FreeFloorPercent of the disk stay free: below it streams wait. 0 means
	// 5, a negative number no floor.
	FreeFloorPercent int

	// SyncEvery is how long bytes may wait for a power loss to spare them. 0
	// means 100 ms.
	SyncEvery time.Duration

	// MaxOpen is how many copies are held open at a time, each with two file
	// descriptors. 0 means 1500.
	MaxOpen int

	Boot   string           // id of this boot of the machine; "": as the system says
	Now    func() time.Time // nil: [time.Now]
	Logger *slog.Logger     // nil: silence

	// The shortest segment and how often retention looks; the tests' alone.
	minSegment  int64
	retainEvery time.Duration

	// What makes a file, or its whole file system, durable; the tests' alone.
	sync, syncfs func(*os.File) error
}

// Store holds the copies of followed files under one folder. It is the only
// writer there: a lock sees to it.
type Store struct {
	dir    string
	root   *os.Root
	handle *os.File // of the same folder
	lock   *os.File
	opts   Options
	log    *slog.Logger
	disk   disk

	teller teller
	syncer syncer
	paused pausedStreams

	retention retention
	unpacker  unpacker

	mu      sync.Mutex // below a stream's; guards what follows
	streams map[ownerKey]*stream
	names   map[nameKey]*stream
	peers   map[string]*peerState // by id
	loaded  *list.List            // of *stream, the one used last first
	dials   uint64                // connections ever
	closed  bool
}

type (
	ownerKey struct{ peer, alias string }   // alias folded
	nameKey  struct{ folder, alias string } // alias folded
)

// peerState is what the store knows of an agent.
type peerState struct {
	folder  string
	streams int
	budget  budget
	conns   []*conn       // oldest first
	hashing chan struct{} // see hashingOf
}

// OpenStore opens the copies under dir, which is made if it is not there.
func OpenStore(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	handle, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	s := &Store{
		dir: dir, root: root, handle: handle, opts: opts, log: opts.Logger,
		streams: map[ownerKey]*stream{}, names: map[nameKey]*stream{}, peers: map[string]*peerState{},
		loaded: list.New(),
	}
	s.disk = disk{path: dir, percent: opts.FreeFloorPercent, now: opts.Now}
	s.syncer.wake, s.teller.wake, s.paused.wake = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	s.retention.wake, s.retention.changed = make(chan struct{}, 1), make(chan struct{}, 1)
	if err := s.takeLock(); err != nil {
		return nil, errors.Join(err, handle.Close(), root.Close())
	}
	if err := s.index(); err != nil {
		return nil, errors.Join(err, s.lock.Close(), handle.Close(), root.Close())
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Report == nil {
		o.Report = func(string, dtc.Event) error { return nil }
	}
	if o.Valid == nil {
		o.Valid = func(string) bool { return true }
	}
	if o.CheckAlias == nil {
		o.CheckAlias = func(string) error { return nil }
	}
	if o.FreeFloorPercent == 0 {
		o.FreeFloorPercent = DefaultFloorPercent
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = 100 * time.Millisecond
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = 1500
	}
	if o.Boot == "" {
		o.Boot = bootID()
	}
	if o.minSegment <= 0 {
		o.minSegment = minLen
	}
	if o.retainEvery <= 0 {
		o.retainEvery = retainEvery
	}
	if o.sync == nil {
		o.sync, o.syncfs = syncData, syncFS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// lockName is the file whose lock makes a store the only one in its folder.
const lockName = ".lock"

func (s *Store) takeLock() error {
	f, err := s.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	if err := lockFile(f); err != nil {
		return errors.Join(fmt.Errorf("%w: does another dtc serve run there?", err), f.Close())
	}
	s.lock = f
	return nil
}

// index finds the streams that there are. Only the head of each side record is
// read.
func (s *Store) index() error {
	folders, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if !folder.IsDir() || strings.HasPrefix(folder.Name(), ".") {
			continue
		}
		files, err := fs.ReadDir(s.root.FS(), folder.Name())
		if err != nil {
			return err
		}
		for _, f := range files {
			alias, ok := aliasOf(f.Name())
			if ok && f.Type().IsRegular() {
				s.indexFile(folder.Name(), alias)
			}
		}
	}
	return nil
}

// aliasOf returns the alias whose side record has that name.
func aliasOf(name string) (alias string, ok bool) {
	alias, ok = strings.CutPrefix(name, ".")
	if !ok {
		return "", false
	}
	alias, ok = strings.CutSuffix(alias, ".dtc")
	return alias, ok && alias != ""
}

// indexFile adds the stream of one side record. One that cannot be read keeps
// its name, so that nobody writes there.
func (s *Store) indexFile(folder, alias string) {
	h, err := readHead(s.root, folder, alias)
	if errors.Is(err, errUnfinished) {
		return // it is made anew when its stream comes
	}
	st := &stream{store: s, place: s.place(folder, alias), made: true}
	switch {
	case err != nil:
		st.damage = err
	case fold(h.alias) != fold(alias):
		st.damage = fmt.Errorf("%w: it belongs to %q", errDamaged, h.alias)
	default:
		st.peer, st.id = h.peer, h.id
	}
	s.add(st)
	if st.damage != nil {
		s.tellDamage(st)
	}
}

// add puts a stream into the tables.
func (s *Store) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(st)
}

// enter is add for who holds the store's mutex.
func (s *Store) enter(st *stream) {
	s.names[nameKey{st.folder, fold(st.alias)}] = st
	if st.damage != nil {
		return
	}
	s.streams[ownerKey{st.peer, fold(st.alias)}] = st
	p := s.peer(st.peer)
	p.streams++
	if p.folder == "" {
		p.folder = st.folder
	}
}

// The reasons for which a new stream is not entered.
var (
	errTaken = errors.New("another agent has a stream of that name")
	errMany  = errors.New("the agent has too many streams")
)

// claim enters a new stream if its name is free and its agent may have one
// more. It returns the stream that the agent has under that alias, or with
// errTaken the one that has the name.
func (s *Store) claim(st *stream) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.streams[ownerKey{st.peer, fold(st.alias)}]; mine != nil {
		return mine, nil
	}
	if other := s.names[nameKey{st.folder, fold(st.alias)}]; other != nil {
		return other, errTaken
	}
	if s.peer(st.peer).streams >= dtc.MaxStreams {
		return nil, errMany
	}
	s.enter(st)
	return st, nil
}

// remove takes a stream that was never made out of the tables.
func (s *Store) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[ownerKey{st.peer, fold(st.alias)}] != st {
		return
	}
	delete(s.names, nameKey{st.folder, fold(st.alias)})
	delete(s.streams, ownerKey{st.peer, fold(st.alias)})
	s.peer(st.peer).streams--
}

// peer returns what is known of an agent. The store's mutex is held.
func (s *Store) peer(id string) *peerState {
	p := s.peers[id]
	if p == nil {
		p = &peerState{}
		s.peers[id] = p
	}
	return p
}

func (s *Store) place(folder, alias string) place {
	return place{root: s.root, dir: s.handle, folder: folder, alias: alias, boot: s.opts.Boot, now: s.opts.Now, sync: s.opts.sync}
}

// Run makes what arrives durable, tells the events, and looks after streams
// that wait for room, until ctx is done. What is left then is made durable.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.runTeller(ctx) })
	wg.Go(func() { s.runPaused(ctx) })
	wg.Go(func() { s.runGuard(ctx) })
	wg.Go(func() { s.runRetention(ctx) })
	s.runSyncer(ctx)
	wg.Wait()
	guardThem(s.named(nil))
	s.flush()
	return nil
}

// Close makes everything durable and gives the folder back. No Serve and no
// Run may be under way.
func (s *Store) Close() error {
	s.tell()
	s.mu.Lock()
	s.closed = true
	all := s.all()
	s.mu.Unlock()
	for _, st := range all {
		st.mu.Lock()
		st.release()
		st.mu.Unlock()
	}
	s.unpacker.close()
	return errors.Join(s.lock.Close(), s.handle.Close(), s.root.Close())
}

// flush makes everything durable.
func (s *Store) flush() {
	s.mu.Lock()
	all := s.all()
	s.mu.Unlock()
	for _, st := range all {
		s.syncStream(st)
	}
}

// all returns every loaded stream. The store's mutex is held.
func (s *Store) all() []*stream {
	all := make([]*stream, 0, s.loaded.Len())
	for e := s.loaded.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*stream))
	}
	return all
}

// signal wakes whoever waits on a channel of one place.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
