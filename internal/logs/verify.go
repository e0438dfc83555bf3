package logs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// StreamInfo is what a store knows of one stream.
type StreamInfo struct {
	Folder     string `json:"folder"`
	Alias      string `json:"alias"`
	Peer       string `json:"peer"`                // id of the agent
	Size       int64  `json:"size"`                // bytes of the copy now
	Durable    int64  `json:"durable"`             // of them safe from a power loss
	Generation uint64 `json:"generation"`          // that receives; 0: none yet
	Position   int64  `json:"position"`            // in it
	Lag        *int64 `json:"lag,omitempty"`       // bytes that the source has more; nil: not known
	State      string `json:"state"`               // "live", "waiting", "paused", "away", "damaged", "unverified"
	Reason     string `json:"reason,omitempty"`    // why it waits or is damaged
	Unverified int64  `json:"unverified,omitzero"` // bytes that no source could prove after a power loss
}

// The states of a stream.
const (
	StreamLive       = "live"       // an agent ships it
	StreamWaiting    = "waiting"    // nothing of a source has come yet
	StreamAway       = "away"       // no agent is connected for it
	StreamPaused     = "paused"     // the monitor cannot store
	StreamDamaged    = "damaged"    // its side record cannot be used
	StreamUnverified = "unverified" // after a power loss, until its agent has come
	StreamOffline    = "offline"    // the service does not run
)

// Streams returns all streams, by folder and alias.
func (s *Store) Streams() []StreamInfo {
	all := s.named(nil)
	out := make([]StreamInfo, 0, len(all))
	for _, st := range all {
		out = append(out, st.info())
	}
	return out
}

// Target selects streams: an empty field stands for all.
type Target struct {
	Folder string `json:"folder,omitempty"`
	Alias  string `json:"alias,omitempty"`
}

// named returns the streams that one of the targets selects, by folder and
// alias; all for no target.
func (s *Store) named(targets []Target) []*stream {
	s.mu.Lock()
	var out []*stream
	for _, st := range s.names {
		if len(targets) == 0 || slices.ContainsFunc(targets, func(t Target) bool { return t.selects(st.folder, st.alias) }) {
			out = append(out, st)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b *stream) int {
		return cmp.Or(strings.Compare(a.folder, b.folder), strings.Compare(a.alias, b.alias))
	})
	return out
}

func (t Target) selects(folder, alias string) bool {
	return (t.Folder == "" || t.Folder == folder) && (t.Alias == "" || fold(t.Alias) == fold(alias))
}

func (st *stream) info() StreamInfo {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := StreamInfo{Folder: st.folder, Alias: st.alias, Peer: st.peer, State: StreamAway}
	c, err := st.open()
	switch {
	case st.damage != nil:
		i.State, i.Reason = StreamDamaged, st.damage.Error()
		return i
	case errors.Is(err, fs.ErrNotExist):
		i.State = StreamWaiting
		return i
	case st.pause != "":
		i.State, i.Reason = StreamPaused, st.pause
	case err != nil:
		i.State, i.Reason = StreamPaused, reasonOf(err)
	case c.suspect > 0:
		i.State = StreamUnverified
	case c.highest() == 0:
		i.State = StreamWaiting
	case st.owner != nil:
		i.State = StreamLive
	}
	i.Size = sizeAt(st.root, st.dataPath())
	if err != nil {
		return i
	}
	i.Durable = c.durableBase()
	for _, u := range c.unverified {
		i.Unverified += u.to - u.from
	}
	if g := c.receiving(); g != nil {
		i.Generation, i.Position = g.number, g.position
	}
	i.Lag = st.lag(c)
	return i
}

// sizeAt returns how long a file is, 0 where none is.
func sizeAt(root *os.Root, name string) int64 {
	there, err := root.Lstat(name)
	if err != nil || !there.Mode().IsRegular() {
		return 0
	}
	return there.Size()
}

// lag returns how many bytes the source has more than the copy.
func (st *stream) lag(c *replica) *int64 {
	if !st.source.known || st.owner == nil {
		return nil
	}
	lag := st.source.later
	if g := c.find(st.source.generation); g != nil {
		lag += max(st.source.size-g.position, 0)
	} else {
		lag += st.source.size
	}
	return &lag
}

// Finding is what a verification says of one generation of a stream.
type Finding struct {
	Folder     string `json:"folder"`
	Alias      string `json:"alias"`
	Generation uint64 `json:"generation,omitzero"` // 0: of the whole stream
	From       int64  `json:"from"`                // positions in the generation that were looked at
	To         int64  `json:"to"`
	Verdict    string `json:"verdict"`
	Place      *int64 `json:"place,omitempty"`  // position in the generation of the first byte that differs
	Reason     string `json:"reason,omitempty"` // how it is known, or why it is not
}

// The verdicts of a verification.
const (
	VerdictExact   = "exact"
	VerdictDiffers = "not exact"
	VerdictUnknown = "not known"
)

// verifyBlock is how many bytes are hashed at a time.
const verifyBlock = 4 << 20

// Verify has the agents of the selected streams hash their sources, compares
// the copies with that, and calls each for every generation, in the order of
// the targets.
func (s *Store) Verify(ctx context.Context, targets []Target, each func(Finding) error) error {
	for _, st := range s.inOrder(targets) {
		if err := st.verify(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

// inOrder returns the streams that each target selects, one target after the
// other, each stream once; all for no target.
func (s *Store) inOrder(targets []Target) []*stream {
	if len(targets) == 0 {
		return s.named(nil)
	}
	var out []*stream
	had := map[*stream]bool{}
	for _, t := range targets {
		for _, st := range s.targeted(t) {
			if !had[st] {
				had[st] = true
				out = append(out, st)
			}
		}
	}
	return out
}

// targeted is named for one target, quick where that names one stream.
func (s *Store) targeted(t Target) []*stream {
	if t.Folder == "" || t.Alias == "" {
		return s.named([]Target{t})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.names[nameKey{t.Folder, fold(t.Alias)}]; st != nil {
		return []*stream{st}
	}
	return nil
}

// compare compares one generation block by block.
func (st *stream) compare(ctx context.Context, f *Finding) {
	if at, err := st.missing(f); err != nil {
		f.Verdict, f.Place, f.Reason = VerdictDiffers, at, err.Error()
		if at == nil {
			f.Verdict = VerdictUnknown
		}
		return
	}
	for from := f.From; from < f.To; from += verifyBlock {
		to := min(from+verifyBlock, f.To)
		same, err := st.sameRange(ctx, f.Generation, from, to)
		if err == nil && !same {
			var at int64
			if at, err = st.differsAt(ctx, f.Generation, from, to); err == nil {
				f.Verdict, f.Place = VerdictDiffers, &at
				return
			}
		}
		if err != nil {
			f.Verdict, f.Reason = VerdictUnknown, err.Error()
			return
		}
	}
	f.Verdict = VerdictExact
}

// differsAt finds the first byte of [from, to), which differs, that does.
func (st *stream) differsAt(ctx context.Context, generation uint64, from, to int64) (int64, error) {
	for to-from > 1 {
		middle := from + (to-from)/2
		same, err := st.sameRange(ctx, generation, from, middle)
		if err != nil {
			return 0, err
		}
		if same {
			from = middle
		} else {
			to = middle
		}
	}
	return from, nil
}

// sameRange compares [from, to) of a generation on both sides.
func (st *stream) sameRange(ctx context.Context, generation uint64, from, to int64) (bool, error) {
	var mine [sha256.Size]byte
	var mineErr error
	var wg sync.WaitGroup
	wg.Go(func() { mine, mineErr = st.hashRange(ctx, generation, from, to) })
	a, err := st.ask(ctx, generation, from, to)
	wg.Wait()
	switch {
	case mineErr != nil:
		return false, mineErr
	case err != nil:
		return false, err
	case a.Text != "":
		return false, errors.New(answerText(a.Text))
	case a.End < to:
		return false, fmt.Errorf("the source has only %d bytes of it", a.End)
	case len(a.Data) != sha256.Size:
		return false, errors.New("its agent sent no hash")
	}
	return bytes.Equal(mine[:], a.Data), nil
}

// hashRange hashes [from, to) of a generation of the copy, without keeping the
// stream's writer waiting.
func (st *stream) hashRange(ctx context.Context, generation uint64, from, to int64) (sum [sha256.Size]byte, err error) {
	if from < 0 || to < from || to > maxPosition {
		return sum, errors.New("not a range")
	}
	st.mu.Lock()
	var pieces []piece
	c, err := st.open()
	var f *os.File
	if err == nil {
		pieces = c.pieces(generation)
		f, err = c.again()
	}
	st.mu.Unlock()
	if f != nil {
		defer f.Close() // nothing was written
	}
	if err != nil {
		return sum, err
	}
	return hashRange(contextReader{ctx, f}, pieces, from, to)
}

// again opens the data file a second time, for reading.
func (c *replica) again() (*os.File, error) {
	if c.data == nil {
		return nil, errMissing
	}
	f, err := openPlain(c.root, c.dataPath(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	if err := sameFile(c.data, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sameFile fails if two open files are not the same.
func sameFile(a, b *os.File) error {
	sa, err := a.Stat()
	if err != nil {
		return err
	}
	sb, err := b.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(sa, sb) {
		return errMissing
	}
	return nil
}
