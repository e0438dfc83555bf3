package ship

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// stream is one alias with the files whose bytes go there.
type stream struct {
	alias string
	path  string
	rule  *rule // guarded by Shipper.mu

	finder *finder

	fromEnd bool // copied from the end if the monitor has nothing of it

	places  [][2]string             // folders and names that it is found by; guarded by Shipper.mu
	queued  atomic.Pointer[session] // in whose queue it is
	polled  atomic.Bool             // its changes are not told: it must be looked at often
	named   atomic.Bool             // files were let go that still had names
	touched atomic.Int64            // when something was last seen to change, ns since 1970

	// Of Run's rounds alone.
	glanced  time.Time // when its file was last looked at though nothing was told
	lookedUp time.Time // and its path
	missing  int       // looks at its path in a row that missed something

	mu        sync.Mutex // guards all below; never held while waiting for the network
	chain     *follow.Chain
	shipments map[*follow.Generation]*shipment
	tokens    map[*follow.Generation]uint64 // of watched files
	finished  []finished                    // the newest last
	resolved  bool                          // the chain's incarnations are counted as the monitor does
	matched   bool                          // what came before this process was found again, or not
	closed    bool
	rotated   int64 // files held that are not at the path
	opened    bool  // there was a file at the path, or of its family
	fences    int   // how often it was told that a newer connection has the stream, since it was had

	missed  []missed // what is to be told of files that nobody could open
	passage passage  // guarded by Shipper.dmu
	quality string   // how well its source can be followed, as it is told to the monitor

	lookups
	grant
}

// grant is what the connection knows of a stream.
type grant struct {
	session  *session
	number   uint32 // on the connection; 0: not attached
	epoch    uint64
	granted  bool      // a State came and was matched
	stopped  bool      // refused or fenced: nothing more on this connection, but for retry
	before   uint64    // the epoch that it had when it was asked for again
	retry    time.Time // when to ask for it again, zero: not
	highest  uint64    // newest generation at the monitor
	lost     []loss
	refuted  map[uint64]bool // generations of which the source does not hold a beginning
	unpacked int             // chunks still to be sent as they are: the last one could not be packed
	inflight int64           // its part of the session's bytes on their way
	followed string          // the quality told last
	told     dtc.Frame       // the size told last
	toldAt   time.Time
	wake     time.Time // when to look again though nothing is heard; zero: not at all
	toMatch  bool      // pending holds a State that could not be matched yet
	pending  []remote
	attempts int
	alike    map[likened]likeness
}

// loss is a generation whose rest is not to be found.
type loss struct {
	number uint64
	from   int64
	reason string
}

// shipment is one generation and what the monitor has of it.
type shipment struct {
	*follow.Generation
	number  uint64 // at the monitor; 0: it does not know of it
	acked   int64  // position up to which the monitor has it
	durable int64  // and has it safely
	sum     uint32 // CRC-32C of the bytes from Start to the position
	sealed  bool   // its end was told
	over    bool   // there is nothing more to tell of it
	confirm uint64 // ping that must come back before the end is known to have been heard
	drained bool   // File is a copy, and was read to its end
	reason  string // why it is lost, "" for the common reason
	asking  uint64 // number of the question of how much of it is left, 0: none

	grew     time.Time // when it last grew
	caughtUp time.Time // when it first had no more bytes, with a successor there
	waiting  time.Time // since when its bytes wait for those of an earlier one
	turn     uint64    // when it was last served, as a count
	idle     bool      // nobody can write to it any more
	late     int       // how often bytes came after its end had been told

	holes      []hole // sent and not acknowledged
	lossesTold int    // of Losses were told on this connection, the first ones
	lossesPing uint64 // after whose answer they are known to have been heard
	lastLoss   follow.Loss
}

// finished is a generation whose file was let go after everything of it was
// safe at the monitor.
type finished struct {
	origin follow.Origin
	number uint64
	start  int64
	end    int64
	mark   follow.Mark
	head   follow.Mark
	sum    uint32
	named  bool // it still had a name

	modified int64 // when its file was last changed, ns since 1970; 0 if not known
}

const maxFinished = 32

// shipment returns the shipment of g.
func (st *stream) shipment(g *follow.Generation) *shipment {
	sh := st.shipments[g]
	if sh == nil {
		sh = &shipment{Generation: g}
		st.shipments[g] = sh
	}
	return sh
}

// account brings the session's count of bytes on their way up to date.
func (st *stream) account() {
	var n int64
	for _, sh := range st.shipments {
		if sh.number != 0 {
			n += sh.underway()
		}
	}
	if st.session != nil {
		st.session.inflight.Add(n - st.inflight)
	}
	st.inflight = n
}

// remove lets sh's file go, and remembers how it ended.
func (st *stream) remove(sh *shipment) {
	if sh.number != 0 && sh.sealed {
		named, modified := false, int64(0)
		if sh.File != nil && !sh.Copy {
			stat, err := sh.File.Stat()
			named, modified = err == nil && stat.Links > 0, stat.Modified
		}
		st.named.Store(st.named.Load() || named)
		st.finished = slices.DeleteFunc(st.finished, func(f finished) bool { return f.number == sh.number })
		st.finished = append(st.finished, finished{
			origin: sh.Origin, number: sh.number, start: sh.Start, end: sh.Position(),
			mark: sh.Mark, head: sh.Head, sum: sh.sum, named: named, modified: modified,
		})
		if len(st.finished) > maxFinished {
			st.finished = st.finished[1:]
		}
	}
	st.discard(sh.Generation)
}

// describe returns the generations in a few words each, for debugging.
func (st *stream) describe() string {
	var b strings.Builder
	for _, g := range st.chain.Generations {
		sh := st.shipment(g)
		fmt.Fprintf(&b, " [%d: inode %d incarnation %d position %d of %d", sh.number, g.Origin.Node[0], g.Origin.Incarnation, g.Position(), g.Seen)
		for word, is := range map[string]bool{"current": g == st.chain.Current(), "copy": g.Copy, "destroyed": g.File == nil, "sealed": sh.sealed} {
			if is {
				b.WriteString(" " + word)
			}
		}
		b.WriteString("]")
	}
	return b.String()
}
