package status

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dtc/internal/proc"
)

// fiveSockets opens sockets in a network without others, and lists them.
func fiveSockets(t *testing.T, c *Collector, most int) (*socketItems, *socketLister) {
	t.Helper()
	o := openSockets{t}
	for i := range 5 {
		o.listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 8001+i))
	}
	l := &socketLister{
		fs: c.host.proc, users: c.host.users.Load(), most: most,
		addresses: make(map[endpoint]string), links: make(map[uint32]string),
	}
	var list socketItems
	if err := l.list(t.Context(), proc.TCP, &list); err != nil {
		t.Fatal(err)
	}
	return &list, l
}

func (s *socketItems) owners() (n int) {
	for i := range s.items {
		n += len(s.items[i].Owners)
	}
	return n
}

func TestSocketsAreBounded(t *testing.T) {
	enterNewNetwork(t)
	c := New(Options{})
	list, l := fiveSockets(t, c, 3)
	if len(list.items) != 3 || l.untold != 2 {
		t.Fatalf("%d sockets, %d untold", len(list.items), l.untold)
	}
	notes, err := list.findOwners(t.Context(), c.host, sideBySide())
	notes = beyondUs(notes)
	if n := list.owners(); err != nil || n != 1 || len(notes) != 1 || !strings.Contains(notes[0], "2 owners are missing") {
		t.Errorf("%d owners, notes %q, %v", n, notes, err)
	}
}

// soon is a context whose deadline has passed, but which is not done: see how
// the wire tells how long an answer is waited for.
type soon struct {
	context.Context //nolint:containedctx // it is one
}

func (soon) Deadline() (time.Time, bool) { return time.Now(), true }

func TestSocketsWithoutTimeForOwners(t *testing.T) {
	enterNewNetwork(t)
	c := New(Options{})
	list, _ := fiveSockets(t, c, maxSockets)
	notes, err := list.findOwners(soon{t.Context()}, c.host, maxOwned)
	if n := list.owners(); err != nil || n != 0 || len(notes) != 1 || !strings.Contains(notes[0], "there was no time") {
		t.Errorf("%d owners, notes %q, %v", n, notes, err)
	}
	if notes, err := list.findOwners(t.Context(), c.host, maxOwned); err != nil || list.owners() != 5 || len(beyondUs(notes)) != 0 {
		t.Errorf("%d owners, notes %q, %v", list.owners(), notes, err)
	}
}
