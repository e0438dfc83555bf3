package notify

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// What is remembered stands in state/notify:
//
//	state.json      what is wrong, whom of it was told what, what waits to be told
//	                together, given-up notices that are to be reported: a [memory]
//	taken-N         which events have been taken: eight bytes each, the beginning
//	                of the SHA-256 of the address, a zero byte and the id
//	silences.json   an array of [Silence]
//	queue-…/        a folder a receiver, see queue_segment.go
//
// An event is not written here before it is told: it stands in the event logs,
// and Until says from where on they are to be read again after a crash. A notice
// is made in this order: state.json, which still has its events waiting; the
// notice in its queue; only then anything else is taken. So a state.json whose
// number of the last notice is less than that of the queue lacks just that one.
const (
	stateFile    = "state.json"
	silencesFile = "silences.json"
	takenPrefix  = "taken-"
	queuePrefix  = "queue-"

	stateMode  = 0o600 // command lines stand in it
	folderMode = 0o750
)

// replayed is how much older than the last event that was taken another may be
// that was not: it was on its way into the event logs.
const replayed = 5 * time.Minute

// memory is state.json.
type memory struct {
	Until time.Time     `json:"until,omitzero"` // see [Notifier.Until]
	Since time.Time     `json:"since,omitzero"` // what was recorded before is no news: nothing was remembered then
	Taken takenAt       `json:"taken"`
	Owed  []storedEvent `json:"owed,omitempty"` // given-up notices that have not been reported
	Core  coreState     `json:"core"`
}

// takenAt says which part of which file is the events that were taken.
type takenAt struct {
	Number int   `json:"number"`
	Bytes  int64 `json:"bytes"`
}

// loadMemory reads state.json. One that makes no sense is set aside: what it
// knew is found out again, as far as the event logs tell it.
func loadMemory(dir string, log *slog.Logger) (memory, error) {
	path := filepath.Join(dir, stateFile)
	var m memory
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read what was told: %w", err)
	}
	if err := json.Unmarshal(data, &m); err == nil {
		return m, nil
	}
	m = memory{}
	if info, err := os.Stat(path); err == nil {
		m.Until = info.ModTime().Add(-replayed)
	}
	m.Taken = newestTaken(dir)
	log.Error("what was told is not readable, and is set aside; something may be told twice or not at all", "file", path)
	if err := os.Rename(path, path+".broken"); err != nil {
		return m, fmt.Errorf("set aside what was told: %w", err)
	}
	return m, nil
}

// newestTaken returns the whole of the newest file of events that were taken.
func newestTaken(dir string) takenAt {
	var newest takenAt
	entries, _ := os.ReadDir(dir) // none: nothing was taken
	for _, entry := range entries {
		if n := takenNumber(entry.Name()); n > newest.Number {
			if info, err := entry.Info(); err == nil {
				newest = takenAt{Number: n, Bytes: info.Size()}
			}
		}
	}
	return newest
}

func takenNumber(name string) int {
	digits, ok := strings.CutPrefix(name, takenPrefix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		return 0
	}
	return n
}

// maxTaken is how many events are remembered to have been taken.
const maxTaken = 1 << 16

// taken is the events that have been taken last, and the file that has them. An
// event that says that something lives is not one of them: it may come again.
type taken struct {
	dir   string
	at    takenAt
	fresh []byte // not in the file yet
	torn  bool   // and more than that: the file is to be begun anew
	ids   map[uint64]struct{}
	order []uint64 // a ring once it is full
	next  int      // where in order the oldest stands then
}

// openTaken reads what state.json says was taken.
func openTaken(dir string, at takenAt) (*taken, error) {
	t := &taken{dir: dir, ids: map[uint64]struct{}{}}
	if at.Number == 0 {
		return t, nil
	}
	f, err := os.OpenFile(t.path(at.Number), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which events were taken: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, at.Bytes))
	if err == nil { // what stands behind was written by a run that was killed then
		at.Bytes = int64(len(data) / 8 * 8)
		err = f.Truncate(at.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("read which events were taken: %w", err)
	}
	t.at = at
	for b := range slices.Chunk(data[:at.Bytes], 8) {
		t.remember(binary.BigEndian.Uint64(b))
	}
	return t, nil
}

func (t *taken) path(number int) string {
	return filepath.Join(t.dir, takenPrefix+strconv.Itoa(number))
}

func hashOf(e *dtc.Event) uint64 {
	sum := sha256.Sum256([]byte(e.Address + "\x00" + e.ID))
	return binary.BigEndian.Uint64(sum[:8])
}

func (t *taken) has(hash uint64) bool {
	_, ok := t.ids[hash]
	return ok
}

// take remembers an event.
func (t *taken) take(hash uint64) {
	t.remember(hash)
	if t.fresh = binary.BigEndian.AppendUint64(t.fresh, hash); len(t.fresh) > 8*maxTaken {
		t.fresh, t.torn = nil, true
	}
}

func (t *taken) remember(hash uint64) {
	if t.has(hash) {
		return
	}
	if len(t.order) < maxTaken {
		t.order = append(t.order, hash)
	} else {
		delete(t.ids, t.order[t.next])
		t.order[t.next] = hash
		t.next = (t.next + 1) % maxTaken
	}
	t.ids[hash] = struct{}{}
}

// save writes what is not in the file yet. It returns what state.json is to say.
func (t *taken) save() (takenAt, error) {
	if t.at.Number == 0 || t.at.Bytes > 2*8*maxTaken || t.torn {
		return t.renew()
	}
	f, err := os.OpenFile(t.path(t.at.Number), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed it
		return t.renew()
	}
	if err == nil {
		if len(t.fresh) > 0 {
			_, err = f.WriteAt(t.fresh, t.at.Bytes)
		}
		if err == nil && len(t.fresh) > 0 {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return t.at, fmt.Errorf("note which events were taken: %w", err)
	}
	t.at.Bytes += int64(len(t.fresh))
	t.fresh = nil
	return t.at, nil
}

// renew begins a new file, with no more than is remembered.
func (t *taken) renew() (takenAt, error) {
	all := make([]byte, 0, 8*len(t.order))
	for _, hash := range slices.Concat(t.order[t.next:], t.order[:t.next]) {
		all = binary.BigEndian.AppendUint64(all, hash)
	}
	if err := atomicfile.Write(t.path(t.at.Number+1), all, stateMode); err != nil {
		return t.at, fmt.Errorf("note which events were taken: %w", err)
	}
	t.at = takenAt{Number: t.at.Number + 1, Bytes: int64(len(all))}
	t.fresh, t.torn = nil, false
	return t.at, nil
}

// tidy removes files that state.json speaks of no more.
func (t *taken) tidy() {
	entries, _ := os.ReadDir(t.dir) // next time, then
	for _, entry := range entries {
		if n := takenNumber(entry.Name()); n > 0 && n != t.at.Number {
			_ = os.Remove(filepath.Join(t.dir, entry.Name()))
		}
	}
}
