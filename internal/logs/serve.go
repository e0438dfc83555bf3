package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dtc"
)

// Link carries the frames of one connection.
type Link interface {
	Send(f *dtc.Frame) error
	Flush() error
	Recv(f *dtc.Frame) error
	Buffered() int
	Close() error
}

// protocolVersion is the one that a FrameHello must name.
const protocolVersion = 1

// features are what this side knows beside the first version of the protocol.
const features = dtc.FeaturePacked | dtc.FeatureHoles | dtc.FeatureNotes

// errProtocol is a frame that no agent sends that is in order.
var errProtocol = errors.New("broke the log protocol")

// Serve receives the streams of one agent over a link until the link ends or
// ctx is done. It closes the link.
func (s *Store) Serve(ctx context.Context, peer dtc.Peer, link Link) error {
	c := &conn{store: s, peer: peer, link: link, attached: map[uint32]*attachment{}}
	c.out.wake, c.begged, c.gone = make(chan struct{}, 1), make(chan question, maxBegged), make(chan struct{})
	c.asked.wait = map[uint64]chan<- dtc.Frame{}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { _ = link.Close() }) // Recv then says that it is closed
	defer stop()

	s.connected(c)
	err := c.hello()
	var wg sync.WaitGroup
	if err == nil {
		wg.Go(func() {
			if err := c.write(ctx); err != nil {
				cancel(err)
			}
		})
		wg.Go(func() { c.answer(ctx) })
		err = c.receive()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	cancel(nil)
	_ = link.Close() // whatever it says, the connection is over
	close(c.gone)
	c.out.close()
	c.births.close()
	wg.Wait()
	s.disconnected(c)
	c.detachAll()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("logs of agent %s: %w", peer.ID, err)
	}
	return nil
}

// conn is one connection of an agent.
type conn struct {
	store    *Store
	peer     dtc.Peer
	link     Link
	boot     string                 // of the agent's host
	attached map[uint32]*attachment // Serve's goroutine alone
	out      outbox
	births   births // Serve's goroutine alone
	asked    questions
	begged   chan question // the agent's own
	gone     chan struct{} // closed when the connection is over
	raw      []byte        // of the last packed append, Serve's goroutine alone
	order    uint64        // a newer connection has a higher one
	fenced   atomic.Bool   // the agent was sent that a newer connection has a stream
	rival    atomic.Bool   // an older connection was told of, which lives and wants a stream too
}

// attachment is a stream that a connection has.
type attachment struct {
	conn   *conn
	stream *stream
	number uint32 // the agent's for it
	epoch  uint64

	// Guarded by the stream's mutex.
	nacked  map[uint64]bool // generations that were told to go back, and have not
	stated  bool            // the agent was sent the state
	refused bool            // the agent was told that it may not have it after all
	quality string          // how well the source can be followed
	bytes   int64           // since the last acknowledgment
	chunks  int

	// Guarded by the outbox's mutex.
	wants  wants
	acks   []uint64 // generations
	held   int64    // bytes whose acknowledgment waits for company
	nacks  []uint64
	queued bool
}

// maxBegged is how many questions of an agent wait at a time.
const maxBegged = 1024

// maxConns is how many connections one agent may have: a new one closes the
// oldest, which may be one that died unnoticed.
const maxConns = 4

func (s *Store) connected(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(c.peer.ID)
	s.dials++
	c.order = s.dials
	p.conns = append(p.conns, c)
	if len(p.conns) > maxConns {
		_ = p.conns[0].link.Close() // its Serve says so
		p.conns = slices.Delete(p.conns, 0, 1)
	}
}

func (s *Store) disconnected(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(c.peer.ID)
	p.conns = slices.DeleteFunc(p.conns, func(o *conn) bool { return o == c })
}

// hello does the first part: who are you, and this is what I have of yours.
func (c *conn) hello() error {
	var f dtc.Frame
	if err := c.link.Recv(&f); err != nil {
		return err
	}
	if f.Kind != dtc.FrameHello {
		return fmt.Errorf("%w: it did not begin with a hello", errProtocol)
	}
	if f.ID != protocolVersion {
		return fmt.Errorf("%w: it speaks version %d, not %d", errProtocol, f.ID, protocolVersion)
	}
	c.boot = f.Text
	for _, st := range c.store.streamsOf(c.peer.ID) {
		known, ok := st.known()
		if !ok {
			continue
		}
		if err := c.link.Send(&known); err != nil {
			return err
		}
	}
	if err := c.link.Send(&dtc.Frame{Kind: dtc.FrameReady, ID: features}); err != nil {
		return err
	}
	return c.link.Flush()
}

// streamsOf returns the streams of an agent, by alias.
func (s *Store) streamsOf(peer string) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*stream
	for key, st := range s.streams {
		if key.peer == peer {
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b *stream) int { return strings.Compare(a.alias, b.alias) })
	return out
}

// known returns the frame that tells the agent of a stream. Nothing is told
// of one that cannot be read now: better no answer than a wrong one.
func (st *stream) known() (dtc.Frame, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && st.damage == nil {
			st.fail(err)
		}
		return dtc.Frame{}, false
	}
	return dtc.Frame{Kind: dtc.FrameKnown, Text: st.alias, States: c.states()}, true
}

// receive handles frames until there are no more.
func (c *conn) receive() error {
	var f dtc.Frame
	for {
		if err := c.link.Recv(&f); err != nil {
			return err
		}
		taken, err := c.expect(&f)
		if err == nil && !taken {
			err = c.handle(&f)
		}
		if err != nil {
			return err
		}
		if c.link.Buffered() == 0 {
			if err := c.bear(); err != nil {
				return err
			}
			c.out.flushAcks()
		}
	}
}

// handle does what one frame asks.
func (c *conn) handle(f *dtc.Frame) error {
	switch f.Kind { //nolint:exhaustive // the rest is for a stream, below
	case dtc.FrameAttach:
		return c.attach(f)
	case dtc.FrameAnswer:
		c.asked.answered(f)
		return nil
	case dtc.FramePing:
		return c.out.push(dtc.Frame{Kind: dtc.FramePong, ID: f.ID})
	case dtc.FramePong:
		return nil
	case dtc.FrameRejected:
		c.rejected(f)
		return nil
	}
	att := c.attached[f.Stream]
	if att == nil || f.Epoch != att.epoch {
		return nil // refused or fenced while it was under way
	}
	switch f.Kind {
	case dtc.FrameOpen:
		return att.open(f)
	case dtc.FrameAppend:
		return att.append(f)
	case dtc.FramePacked:
		return att.packed(f)
	case dtc.FrameHole:
		return att.hole(f)
	case dtc.FrameSeal:
		return att.seal(f)
	case dtc.FrameLost:
		return att.lost(f)
	case dtc.FrameFollow:
		return att.follow(f)
	case dtc.FrameGap:
		return att.gap(f)
	case dtc.FrameRewind:
		return att.rewind(f)
	case dtc.FrameSize:
		return att.size(f)
	case dtc.FrameAsk:
		return c.beg(att, f)
	default:
		return fmt.Errorf("%w: a frame of kind %d", errProtocol, f.Kind)
	}
}

// rejected tells of a file that the agent does not follow.
func (c *conn) rejected(f *dtc.Frame) {
	s := c.store
	if !s.allow(c.peer.ID) {
		return
	}
	folder, err := s.folderOf(c.peer)
	if err != nil {
		s.log.Warn("agent without a folder", "agent", c.peer.ID, "error", err)
		return
	}
	s.teller.addDirect(folder, dtc.Event{
		ID:   stableID("rejected", c.peer.ID, c.boot, fmt.Sprint(f.ID), f.Text),
		Time: s.opts.Now(), Kind: dtc.EventLog, State: dtc.StateRefused, Reason: f.Text,
	})
}

// attach gives the agent a stream, or says why it may not have it.
func (c *conn) attach(f *dtc.Frame) error {
	if f.Stream == 0 {
		return fmt.Errorf("%w: a stream with the number 0", errProtocol)
	}
	if len(c.attached) >= 2*dtc.MaxStreams {
		return fmt.Errorf("%w: more streams than it may have", errProtocol)
	}
	att := &attachment{conn: c, number: f.Stream}
	if old := c.attached[f.Stream]; old != nil {
		old.detach()
	}
	delete(c.attached, f.Stream)
	st, err := c.store.find(c.peer, f.Text)
	if err != nil {
		return c.out.push(dtc.Frame{Kind: dtc.FrameRefused, Stream: f.Stream, Text: err.Error()})
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if now, err := c.store.claim(st); now != st {
		why := "it was given up at this moment: attach it again"
		return c.out.push(dtc.Frame{Kind: dtc.FrameRefused, Stream: f.Stream, Text: errors.Join(errors.New(why), err).Error()})
	}
	if st.mend(c.peer.ID); st.damage != nil {
		why := fmt.Sprintf("the monitor's side record of %q cannot be used: %v", st.alias, st.damage)
		return c.out.push(dtc.Frame{Kind: dtc.FrameRefused, Stream: f.Stream, Text: why})
	}
	if st.owner != nil && st.owner.conn.order > c.order {
		return c.fence(st, f)
	}
	st.epoch++
	if st.owner != nil {
		st.owner.want(wantFenced)
	}
	att.stream, att.epoch = st, st.epoch
	st.owner = att
	c.attached[f.Stream] = att
	if st.pause != "" {
		att.want(wantPaused)
		return nil // its state follows when there is one
	}
	att.want(wantState)
	return nil
}

// fence refuses a stream that a newer connection has. Who asks for it after it
// was told so is no connection that died unnoticed.
func (c *conn) fence(st *stream, f *dtc.Frame) error {
	if c.fenced.Swap(true) && !st.owner.conn.rival.Swap(true) {
		c.store.tellRivals(st.folder, c.peer)
	}
	return c.out.push(dtc.Frame{Kind: dtc.FrameFenced, Stream: f.Stream})
}

// find returns the stream of an agent with an alias, made in memory if there
// is none. The error is for the operator of the agent.
func (s *Store) find(peer dtc.Peer, alias string) (*stream, error) {
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	if err := s.opts.CheckAlias(alias); err != nil {
		return nil, err
	}
	folder, err := s.folderOf(peer)
	if err != nil {
		return nil, err
	}
	st, err := s.claim(&stream{store: s, place: s.place(folder, alias), peer: peer.ID})
	if errors.Is(err, errTaken) {
		st, err = s.takeOver(st, peer)
	}
	if errors.Is(err, errMany) {
		err = fmt.Errorf("the agent has %d streams already, more are not taken", dtc.MaxStreams)
		alias = ""
	}
	if err != nil {
		s.tellRefused(folder, alias, peer, err.Error())
		return nil, err
	}
	return st, nil
}

// folderOf returns the folder of an agent: that of its streams if it has any.
func (s *Store) folderOf(peer dtc.Peer) (string, error) {
	s.mu.Lock()
	folder := s.peer(peer.ID).folder
	s.mu.Unlock()
	if folder != "" {
		return folder, nil
	}
	folder, err := s.opts.Folder(peer)
	if err != nil {
		return "", err
	}
	if err := checkName(folder); err != nil {
		return "", fmt.Errorf("folder %q: %w", folder, err)
	}
	return folder, nil
}

// detachAll gives up every stream of the connection.
func (c *conn) detachAll() {
	for _, att := range c.attached {
		att.detach()
	}
}

func (att *attachment) detach() {
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owner != att {
		return
	}
	st.owner = nil
	if !st.made && st.pause == "" {
		st.store.remove(st)
	}
}
