package notify

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dtc"
)

// Options are the settings of a [Notifier].
type Options struct {
	Dir       string // state/notify; made if it is not there
	Home      string // what a relative path in the settings of a sender is relative to
	Config    Config
	NewSender func(kind string, s Settings) (Sender, error) // nil: the function of that name

	// Report is told of each notice that is given up on, once: an event of kind
	// notify and state undelivered, with an id, a time and a reason, but without a
	// host. It is to record the event and then tell it to the Notifier like any
	// other. After an error, and after a crash, it is told the same event again.
	Report func(e dtc.Event) error

	Logger *slog.Logger     // nil: nobody is told
	Now    func() time.Time // nil: time.Now. Its zone is that of the times of a day in a [Window]
}

// Notifier tells receivers what happens. Its methods may be called by any
// number of goroutines.
//
// It takes no event durably before it says so by Until: each must stand in a
// record that can be read again. See [Notifier.Tell].
type Notifier struct {
	opts Options
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{} // of capacity 1: there is something to do

	until time.Time // see Until

	inMu  sync.Mutex  // comes after mu
	inbox []dtc.Event // guarded by inMu; told, and not taken yet

	mu       sync.Mutex
	core     *core               // guarded by mu
	taken    *taken              // guarded by mu
	couriers map[string]*courier // guarded by mu; by receiver, also of those that were taken out
	order    []string            // guarded by mu; the receivers as they are configured
	owed     []storedEvent       // guarded by mu; given-up notices that are to be reported
	reportAt time.Time           // guarded by mu; not before, after a failure
	latest   time.Time           // guarded by mu; of the last event taken
	since    time.Time           // guarded by mu; what was recorded before is no news
	lookAt   time.Time           // guarded by mu; when to look whether the files are there still
	saveAt   time.Time           // guarded by mu; when what is remembered is to be written; zero: it is
	unsaved  error               // guarded by mu; why it cannot be; nil if it can
}

// New opens what an earlier run remembers, and prepares to tell. It fails where
// dir cannot be used, and where there is no sender for a receiver.
func New(opts Options) (*Notifier, error) {
	if opts.NewSender == nil {
		opts.NewSender = NewSender
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if err := os.MkdirAll(opts.Dir, folderMode); err != nil {
		return nil, fmt.Errorf("remember what was told: %w", err)
	}
	n := &Notifier{
		opts: opts, log: opts.Logger, now: opts.Now,
		wake: make(chan struct{}, 1), couriers: map[string]*courier{},
	}
	if err := n.recall(); err != nil {
		return nil, err
	}
	if err := n.Configure(opts.Config); err != nil {
		return nil, err
	}
	n.recover()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.save(n.now())
	return n, nil
}

// recall reads what an earlier run has written.
func (n *Notifier) recall() error {
	now := n.now()
	m, err := loadMemory(n.opts.Dir, n.log)
	if err != nil {
		return err
	}
	if n.taken, err = openTaken(n.opts.Dir, m.Taken); err != nil {
		return err
	}
	n.owed, n.latest, n.since = m.Owed, now, now // now: what comes first may be lost with a crash, else
	if !m.Until.IsZero() {
		n.latest = earlier(m.Until.Add(replayed), now) // the clock may have been set back
		if n.since = m.Since; n.since.After(now) {
			n.since = now
		}
		if m.Taken.Number != 0 && n.taken.at.Number == 0 { // that file is lost
			n.since = laterOf(n.since, n.latest)
		}
		n.until = laterOf(n.latest.Add(-replayed), n.since)
	}
	n.core = newCore(m.Core, now, newNoticeID)
	n.core.silences, err = loadSilences(n.opts.Dir, now, n.log)
	return err
}

// recover takes up the notices that an earlier run made last, and drops the
// queues of who is not told any more.
func (n *Notifier) recover() {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := map[string]bool{}
	for name, c := range n.couriers {
		m := n.core.machines[name]
		for _, r := range c.queue.since(m.state.Seq) {
			n.core.recover(name, r)
		}
		m.state.Seq = max(m.state.Seq, c.queue.last)
		known[queueFolder(name)] = true
	}
	entries, _ := os.ReadDir(n.opts.Dir) // there they stay
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(n.opts.Dir, name)
		switch {
		case strings.HasPrefix(name, queuePrefix) && !known[name]:
			n.dropQueue(path)
		case strings.HasPrefix(name, "."): // a temporary file of a run that was killed
			_ = os.Remove(path)
		}
	}
	n.taken.tidy()
}

func (n *Notifier) dropQueue(path string) {
	if q, err := openQueue(path, n.log); err == nil {
		if len(q.waiting) > 0 {
			n.log.Warn("notices to a receiver that is not configured any more are dropped", "queue", filepath.Base(path), "notices", len(q.waiting))
		}
		_ = q.release() // nothing was written
	}
	if err := os.RemoveAll(path); err != nil {
		n.log.Error("drop the queue of a receiver that is not configured any more", "error", err)
	}
}

// Configure takes up who is told of what, and of which hosts, from now on. What
// waits for a receiver goes to it as it is now; what waits for one that is gone
// is kept until this run ends, should it come back. After an error nothing is
// changed.
//
// What is wrong with a host, a rule or a pid that is not watched any more is
// forgotten. So a new one is to be configured here before its first event.
func (n *Notifier) Configure(cfg Config) error {
	cfg = Config{Receivers: slices.Clone(cfg.Receivers), Maintenance: slices.Clone(cfg.Maintenance), Hosts: slices.Clone(cfg.Hosts)}
	senders, err := n.senders(cfg.Receivers)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.drain(now)
	for _, r := range cfg.Receivers {
		if n.couriers[r.Name] != nil {
			continue
		}
		q, err := openQueue(filepath.Join(n.opts.Dir, queueFolder(r.Name)), n.log)
		if err != nil {
			return err
		}
		n.couriers[r.Name] = newCourier(r.Name, q, n.log)
	}
	n.core.configure(&cfg, now)
	n.order = nil
	for _, r := range cfg.Receivers {
		n.couriers[r.Name].set(n.core.machines[r.Name].receiver, senders[r.Name])
		n.order = append(n.order, r.Name)
	}
	for name, c := range n.couriers {
		if !slices.Contains(n.order, name) {
			c.park()
		}
	}
	n.touch(now)
	return nil
}

// senders makes a sender for each receiver.
func (n *Notifier) senders(receivers []Receiver) (map[string]Sender, error) {
	senders := map[string]Sender{}
	var faults []error
	for _, r := range receivers {
		settings := Settings{Home: n.opts.Home, Values: r.Values, Now: n.now}
		s, err := n.opts.NewSender(r.Kind, settings)
		switch {
		case r.Name == "" || senders[r.Name] != nil:
			err = errors.New("it needs a name that no other receiver has")
		case err == nil:
			for _, w := range settings.Warnings() {
				n.log.Warn("a receiver's settings", "receiver", r.Name, "detail", w)
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("notify %q: %w", r.Name, err))
		}
		senders[r.Name] = s
	}
	return senders, errors.Join(faults...)
}

// maxInbox is how many events may wait to be taken before who tells takes them
// himself.
const maxInbox = 8192

// Tell has those told of an event who want to know. It waits for no receiver. An
// event that has been taken before is dropped. e has an id, and is to stand in a
// record already.
func (n *Notifier) Tell(e dtc.Event) {
	n.inMu.Lock()
	n.inbox = append(n.inbox, e)
	full := len(n.inbox) >= maxInbox
	n.inMu.Unlock()
	if full {
		n.mu.Lock()
		n.drain(n.now())
		n.mu.Unlock()
	}
	n.rouse()
}

// rouse has Run look what there is to do.
func (n *Notifier) rouse() { signal(n.wake) }

// Until returns from which time on the events in the records are to be told
// again after New and before new ones are: all that are older were taken by
// earlier runs. The zero time is that of the first run: there is nothing to tell
// again.
func (n *Notifier) Until() time.Time { return n.until }

// drain takes the events that wait in the inbox. n.mu is held.
func (n *Notifier) drain(now time.Time) {
	n.inMu.Lock()
	events := n.inbox
	n.inbox = nil
	n.inMu.Unlock()
	for i := range events {
		e := &events[i]
		if e.Time.IsZero() {
			e.Time = now
		}
		n.latest = e.Time
		hash := hashOf(e)
		if n.taken.has(hash) {
			continue
		}
		matters := n.core.observe(e, now)
		if matters || e.State != dtc.StateAlive { // that all live is told again and again
			n.taken.take(hash)
		}
		after := saveLate
		if matters {
			after = saveSoon
		}
		n.saveAt = earlier(n.saveAt, now.Add(after))
	}
}

const (
	saveSoon  = time.Second     // after something that somebody is to be told
	saveLate  = time.Minute     // after what only need not be read again
	saveRetry = 5 * time.Second // after a failure
	lookEvery = time.Minute     // whether the files are there
	coalesce  = 10 * time.Millisecond
)

// touch has what is remembered written soon. n.mu is held.
func (n *Notifier) touch(now time.Time) {
	n.saveAt = earlier(n.saveAt, now.Add(saveSoon))
	n.rouse()
}

// newNoticeID returns an id that no other notice has.
func newNoticeID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}
