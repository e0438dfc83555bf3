package logs

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"dtc"
)

// stream is one alias of one agent. Its replica is loaded when it is needed
// and let go when others are needed more.
type stream struct {
	store *Store
	place
	peer string // id of the agent; "" if the side record cannot be read; changes under this mutex and the store's

	mu      sync.Mutex // guards what follows
	id      string     // of the stream, "" until it is made
	c       *replica   // nil: not loaded
	made    bool       // it has a side record
	damage  error      // its side record cannot be used
	trust   trustMode
	epoch   uint64
	owner   *attachment // the connection that has it, nil if none has
	pause   string      // why the stream waits, "" if it does not
	hushed  bool        // a pause was told, and its end was not
	missed  bool        // a frame that is not repeated was dropped in a pause
	muted   int         // events that were not told one by one
	source  sourceSize
	rules   *retentionRules // that keep is from
	ruled   string          // the agent that it is for
	keep    Retention
	limits  limits        // the same for a live file
	due     time.Time     // when retention has to look although nothing comes
	kept    *kept         // of the replica that was let go last; nil: nothing
	left    endpoint      // of the replica that was let go last
	rest    *figures      // of the same; nil: not known
	element *list.Element // in the store's loaded, guarded by the store's mutex
	syncing bool          // a syncer has its files in hand
}

// sourceSize is what the agent last told of the size of its source.
type sourceSize struct {
	generation uint64
	size       int64
	later      int64 // bytes of later generations
	known      bool
}

// endpoint is how far the receiving generation had come.
type endpoint struct {
	generation        uint64 // 0: not known
	position, durable int64
}

// readHead reads the header of a side record. One that cannot be read of a copy
// that has no byte is what a power loss left of a new one: nothing depends on it.
func readHead(root *os.Root, folder, alias string) (*headerEntry, error) {
	h, err := parseHead(root, folder, alias)
	if errors.Is(err, errDamaged) && isEmpty(root, Target{folder, alias}) {
		return nil, fmt.Errorf("%w: %w", errUnfinished, err)
	}
	return h, err
}

// isEmpty tells whether it is certain that a copy has no byte in any file.
func isEmpty(root *os.Root, t Target) bool {
	info, err := root.Lstat(t.Folder + "/" + t.Alias)
	if err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	closed, err := segmentNames{}.of(root, t)
	return err == nil && len(closed) == 0
}

func parseHead(root *os.Root, folder, alias string) (*headerEntry, error) {
	f, err := openPlain(root, folder+"/"+sideName(alias), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	b, err := io.ReadAll(io.NewSectionReader(f, 0, journalStart+4096))
	if err != nil {
		return nil, err
	}
	if len(b) < journalStart+recordHead {
		return nil, errUnfinished
	}
	if string(b[:slotSize]) != string(encodeSuper()) {
		_, err := parseSide(b, withoutArrivals) // it says what is wrong
		return nil, errors.Join(err, errDamaged)
	}
	body, _, ok := cutRecord(b[journalStart:])
	if !ok {
		return nil, fmt.Errorf("%w: its header", errDamaged)
	}
	e, err := decodeEntry(body)
	if err != nil {
		return nil, fmt.Errorf("%w: its header", errDamaged)
	}
	h, ok := e.(*headerEntry)
	if !ok {
		return nil, fmt.Errorf("%w: it has no header", errDamaged)
	}
	return h, nil
}

// open returns the replica, loaded if need be. The stream's mutex is held. It
// answers fs.ErrNotExist for a stream that was never made.
func (st *stream) open() (*replica, error) {
	if st.damage != nil {
		return nil, st.damage
	}
	if st.c == nil {
		if !st.made {
			return nil, fs.ErrNotExist
		}
		st.store.makeRoom()
		c, err := st.load()
		if err != nil {
			return nil, err
		}
		st.loaded(c)
	}
	st.store.used(st)
	st.c.epoch = st.epoch
	st.retained()
	st.c.limits = st.limits
	return st.c, nil
}

func (st *stream) loaded(c *replica) {
	st.c, st.trust, st.kept, st.rest = c, trust, nil, nil
	st.after(c)
}

// after hands over what a change of the replica left to do.
func (st *stream) after(c *replica) {
	if c.bloated() {
		c.touch() // the syncer writes it anew, also where nothing but records came
	}
	if !c.dirty.IsZero() {
		st.store.enqueue(st, c)
	}
	if len(c.events) > 0 {
		st.store.teller.add(st)
	}
	if c.hasRolled {
		c.hasRolled = false
		st.store.retention.rolled(st)
	}
	if c.ripe && c.limits.length > 0 {
		st.store.syncer.hurry()
	}
	if c.noRoll != "" {
		st.store.log.Warn("a part of the copy cannot be closed now", "copy", st.dataPath(), "reason", c.noRoll)
		c.noRoll = ""
	}
}

// make writes the side record of a new stream.
func (st *stream) make() error {
	if err := makeFolder(st.root, st.folder); err != nil {
		return err
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	header := &headerEntry{formatVersion, hex.EncodeToString(id), st.peer, st.alias, st.now()}
	boot := &bootEntry{boot: st.boot, kept: true}
	if err := createSide(&st.place, encodeSide([]entry{header, boot})); err != nil {
		return err
	}
	st.id, st.made = header.id, true
	return nil
}

// createSide writes a first side record. Nothing depends on it until its first
// extent makes it safe.
func createSide(p *place, image []byte) error {
	temporary := p.sidePath() + ".tmp"
	if err := p.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := createPlain(p.root, temporary, os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.Write(image)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return p.root.Rename(temporary, p.sidePath())
}

// update changes the replica. If that fails the replica is thrown away, and
// the stream waits.
func (st *stream) update(f func(*replica) error) error {
	c, err := st.open()
	if err == nil {
		err = f(c)
	}
	if err != nil {
		st.fail(err)
		return err
	}
	st.after(c)
	return nil
}

// fail throws the replica away after an error: the disk is the truth.
func (st *stream) fail(err error) {
	if _, ok := errors.AsType[*syncError](err); ok {
		st.trust = distrust
	}
	if st.c != nil {
		st.kept = st.c.keepRemoved()
	}
	st.drop()
	if errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
		st.damage = err
		st.store.tellDamage(st)
		return
	}
	st.wait(reasonOf(err))
}

// drop lets the replica go as it is.
func (st *stream) drop() {
	c := st.c
	if c == nil {
		return
	}
	st.c, st.left = nil, endpoint{}
	st.store.unused(st)
	if st.syncing {
		return // whoever has the files in hand closes them
	}
	if err := c.close(); err != nil {
		st.store.log.Warn("close copy", "copy", st.dataPath(), "error", err)
	}
}

// release makes the replica durable and lets it go.
func (st *stream) release() {
	if st.c == nil || st.syncing {
		return
	}
	st.guard()
	if st.c == nil {
		return
	}
	if err := st.c.makeDurable(); err != nil {
		st.fail(err)
		return
	}
	var left endpoint
	if g := st.c.receiving(); g != nil {
		left = endpoint{g.number, g.position, st.c.durablePosition(g)}
	}
	k, rest := st.c.keepable(), st.c.figures()
	st.due = st.c.retainDue(st.keep, st.now())
	st.drop()
	st.left, st.kept, st.rest = left, k, &rest
}

// endOf returns how far a generation has come, without loading for what is
// known anyway.
func (st *stream) endOf(generation uint64) (endpoint, bool) {
	if st.c == nil && st.left.generation == generation && generation != 0 {
		return st.left, true
	}
	c, err := st.open()
	if err != nil {
		return endpoint{}, false
	}
	g := c.find(generation)
	if g == nil {
		return endpoint{}, false
	}
	return endpoint{generation, g.position, c.durablePosition(g)}, true
}

// newEvent fills in what every event of a stream has.
func (st *stream) newEvent(id string, e *eventEntry) dtc.Event {
	return dtc.Event{
		ID: id, Time: e.time, Kind: dtc.EventLog, State: e.state,
		Alias: st.alias, From: e.from, To: e.to, Reason: e.reason,
	}
}
