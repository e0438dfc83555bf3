package logs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// StreamInfo is what a store knows of one stream.
type StreamInfo struct {
	Folder     string `json:"folder"`
	Alias      string `json:"alias"`
	Peer       string `json:"peer"`                // id of the agent
	Size       int64  `json:"size"`                // bytes of the copy now
	Received   int64  `json:"received"`            // bytes that the stream has ever had: the position of the next one
	Durable    int64  `json:"durable"`             // of them safe from a power loss
	Generation uint64 `json:"generation"`          // that receives; 0: none yet
	Position   int64  `json:"position"`            // in it
	Lag        *int64 `json:"lag,omitempty"`       // bytes that the source has more; nil: not known
	State      string `json:"state"`               // "live", "waiting", "paused", "away", "damaged", "unverified"
	Reason     string `json:"reason,omitempty"`    // why it waits, is damaged, or away although its agent is there
	Follow     string `json:"follow,omitempty"`    // what makes its source harder to follow than a local file; empty: nothing
	Unverified int64  `json:"unverified,omitzero"` // bytes that no source could prove after a power loss
}

// The states of a stream.
const (
	StreamLive       = "live"       // an agent ships it
	StreamWaiting    = "waiting"    // nothing of a source has come yet
	StreamAway       = "away"       // no agent ships it
	StreamPaused     = "paused"     // the monitor cannot store
	StreamDamaged    = "damaged"    // its side record cannot be used
	StreamUnverified = "unverified" // after a power loss, until its agent has come
	StreamOffline    = "offline"    // the service does not run
)

// Streams returns all streams, by folder and alias.
func (s *Store) Streams() []StreamInfo {
	all := s.named(nil)
	there := s.agents()
	out := make([]StreamInfo, 0, len(all))
	for _, st := range all {
		i := st.info()
		if i.State == StreamAway && there[i.Peer] {
			i.Reason = "its agent is connected, and follows no such file at this moment"
		}
		out = append(out, i)
	}
	return out
}

// agents returns the ids of those that are connected.
func (s *Store) agents() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[string]bool{}
	for id, p := range s.peers {
		if len(p.conns) > 0 {
			there[id] = true
		}
	}
	return there
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
	f, err := st.figures()
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
	case f.suspect:
		i.State = StreamUnverified
	case f.empty:
		i.State = StreamWaiting
	case st.owner != nil:
		i.State = StreamLive
	}
	if st.owner != nil {
		i.Follow = st.owner.quality
	}
	i.Size = sizeAt(st.root, st.dataPath())
	if err != nil {
		return i
	}
	i.Size += f.closed
	i.Received, i.Durable, i.Unverified = f.received, f.durable, f.unverified
	i.Generation, i.Position = f.generation, f.position
	i.Lag = st.lag(&f)
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

// Finding is what a verification says of one generation of a stream.
type Finding struct {
	Folder     string `json:"folder"`
	Alias      string `json:"alias"`
	Generation uint64 `json:"generation,omitzero"` // 0: of the whole stream
	From       int64  `json:"from"`                // positions in the generation that were looked at
	To         int64  `json:"to"`
	Dropped    int64  `json:"dropped,omitzero"` // bytes before From that retention has dropped
	Verdict    string `json:"verdict"`
	Place      *int64 `json:"place,omitempty"`  // position in the generation of the first byte that differs, or that was not compared yet
	Reason     string `json:"reason,omitempty"` // how it is known, or why it is not
}

// The verdicts of a verification.
const (
	VerdictExact   = "exact"
	VerdictDiffers = "not exact"
	VerdictUnknown = "not known"

	VerdictDropped  = "dropped"  // by retention: these bytes are no more to be proven
	VerdictChecking = "checking" // none yet: how far it has come
)

// Verify has the agents of the selected streams hash their sources, compares
// the copies with that, and calls each for every generation, in the order of
// the targets.
func (s *Store) Verify(ctx context.Context, targets []Target, each func(Finding) error) error {
	return s.verifyAll(ctx, &VerifyRequest{Targets: targets}, each)
}

func (s *Store) verifyAll(ctx context.Context, req *VerifyRequest, each func(Finding) error) error {
	zeros := sync.OnceValue(func() [sha256.Size]byte { return zerosHash(holeBlock) })
	for _, st := range s.inOrder(req.Targets) {
		c := &comparing{st: st, zeros: zeros, told: time.Now()}
		if req.Progress {
			c.tell = each
		}
		if err := st.verify(ctx, c, each); err != nil {
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

// hashRange hashes [from, to) of a generation of the copy, without keeping the
// stream's writer waiting.
func (st *stream) hashRange(ctx context.Context, generation uint64, from, to int64) (sum [sha256.Size]byte, err error) {
	if from < 0 || to < from || to > maxPosition {
		return sum, errors.New("not a range")
	}
	var parts []piece
	var files dataFiles
	st.mu.Lock()
	c, err := st.open()
	if err == nil {
		parts, err = cutPieces(c.pieces(generation), from, to)
	}
	if err == nil {
		files, err = c.openPieces(parts)
	}
	st.mu.Unlock()
	if err != nil {
		return sum, err
	}
	defer files.close()
	return hashPieces(files.within(ctx), parts)
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
