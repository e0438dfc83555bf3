package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"dtc"
	"dtc/internal/proc"
)

// walkBlock is how many processes one of the walks side by side takes at a time.
const walkBlock = 16

// ownerSearch looks for the processes that have sockets open.
type ownerSearch struct {
	fs     proc.FS
	pids   []int
	inodes []inodeItem  // of the wanted sockets, ascending
	next   atomic.Int64 // index of the process that nobody has taken yet
}

// inodeItem says which item an inode is of.
type inodeItem struct {
	inode uint64
	item  int32
}

// findOwners walks over the descriptors of all processes and gives the items
// their owners. The notes say whose could not be read.
func (s *socketItems) findOwners(ctx context.Context, h *host) (notes []string, err error) {
	search := ownerSearch{fs: h.proc}
	for i, inode := range s.inodes {
		if inode != 0 {
			search.inodes = append(search.inodes, inodeItem{inode, int32(i)})
		}
	}
	if len(search.inodes) == 0 {
		return nil, nil
	}
	slices.SortFunc(search.inodes, func(a, b inodeItem) int { return cmp.Compare(a.inode, b.inode) })
	if search.pids, err = h.pids(); err != nil {
		return nil, err
	}
	defer h.putPIDs(search.pids)
	walks := make([]ownerWalk, sideBySide())
	var wg sync.WaitGroup
	for i := range walks {
		walks[i].search = &search
		wg.Go(func() { walks[i].err = walks[i].run(ctx) })
	}
	wg.Wait()
	var found []ownership
	var refused int
	var reason error
	for i := range walks {
		w := &walks[i]
		if w.err != nil {
			return nil, w.err
		}
		found = append(found, w.found...)
		if w.refused > 0 {
			refused, reason = refused+w.refused, w.reason
		}
	}
	s.setOwners(found)
	if refused > 0 {
		notes = append(notes, fmt.Sprintf("the descriptors of %d processes could not be read, so that owners may be missing: %v", refused, reason))
	}
	return notes, nil
}

// find returns the place of the first item of an inode.
func (s *ownerSearch) find(inode uint64) (at int, ok bool) {
	return slices.BinarySearchFunc(s.inodes, inode, func(e inodeItem, inode uint64) int { return cmp.Compare(e.inode, inode) })
}

func (s *ownerSearch) has(inode uint64) bool {
	_, ok := s.find(inode)
	return ok
}

// ownership says that a process has an item open.
type ownership struct {
	process *dtc.SocketOwner // shared by all that it has open
	item    int32
	fd      int32
}

// ownerWalk is one of the walks side by side.
type ownerWalk struct {
	search  *ownerSearch
	found   []ownership
	refused int   // processes that could not be read
	reason  error // of the last of them
	err     error
}

// run walks over the processes that nobody else has taken.
func (w *ownerWalk) run(ctx context.Context) error {
	walk, err := w.search.fs.WalkSockets()
	if err != nil {
		return err
	}
	defer func() { _ = walk.Close() }()
	for {
		end := int(w.search.next.Add(walkBlock))
		start := end - walkBlock
		if start >= len(w.search.pids) {
			return nil
		}
		for _, pid := range w.search.pids[start:min(end, len(w.search.pids))] {
			if err := ctx.Err(); err != nil {
				return err
			}
			w.process(walk, pid)
		}
	}
}

func (w *ownerWalk) process(walk *proc.SocketWalk, pid int) {
	var owner *dtc.SocketOwner
	err := walk.Process(pid, w.search.has, func(f proc.SocketFile) {
		if owner == nil {
			owner = &dtc.SocketOwner{PID: pid, Name: string(f.Comm)}
		}
		at, _ := w.search.find(f.Inode)
		for ; at < len(w.search.inodes) && w.search.inodes[at].inode == f.Inode; at++ {
			w.found = append(w.found, ownership{owner, w.search.inodes[at].item, int32(f.FD)})
		}
	})
	if err != nil {
		w.refused, w.reason = w.refused+1, err
	}
}

// setOwners gives the items their parts of one list of owners.
func (s *socketItems) setOwners(found []ownership) {
	slices.SortFunc(found, func(a, b ownership) int {
		return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.process.PID, b.process.PID), cmp.Compare(a.fd, b.fd))
	})
	owners := make([]dtc.SocketOwner, len(found))
	for i, f := range found {
		owners[i] = *f.process
		owners[i].FD = int(f.fd)
	}
	for start := 0; start < len(found); {
		item, end := found[start].item, start+1
		for end < len(found) && found[end].item == item {
			end++
		}
		s.items[item].Owners = owners[start:end:end]
		start = end
	}
}
