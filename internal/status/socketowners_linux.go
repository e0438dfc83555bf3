package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/proc"
)

const (
	// walkBlock is how many processes one of the walks side by side takes at a
	// time.
	walkBlock = 16

	// longestSearch is how long the search for the owners may take.
	longestSearch = time.Minute
)

// ownerSearch looks for the processes that have sockets open.
type ownerSearch struct {
	fs     proc.FS
	pids   []int
	inodes []inodeItem  // of the wanted sockets, ascending
	next   atomic.Int64 // index of the process that nobody has taken yet
	until  time.Time    // it must end
	most   int          // that one of the walks may find
}

// inodeItem says which item an inode is of.
type inodeItem struct {
	inode uint64
	item  int32
}

// findOwners walks over the descriptors of all processes and gives the items
// their owners, at most so many. The notes say which are missing.
func (s *socketItems) findOwners(ctx context.Context, h *host, most int) (notes []string, err error) {
	search := ownerSearch{fs: h.proc, until: time.Now().Add(timeFor(ctx, longestSearch)), most: most / sideBySide()}
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
	var all ownerWalk
	for i := range walks {
		if err := walks[i].err; err != nil {
			return nil, err
		}
		all.add(&walks[i])
	}
	s.setOwners(all.found)
	notes = all.notes()
	if hidden := h.hiddenNote(); hidden != "" {
		notes = append(notes, hidden)
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
	untold  int   // descriptors beyond those that may be found
	late    int   // processes that there was no time for
	err     error
}

// add adds what another walk found.
func (w *ownerWalk) add(other *ownerWalk) {
	w.found = append(w.found, other.found...)
	w.refused, w.untold, w.late = w.refused+other.refused, w.untold+other.untold, w.late+other.late
	if other.reason != nil {
		w.reason = other.reason
	}
}

// notes say why owners may be missing.
func (w *ownerWalk) notes() (notes []string) {
	if w.refused > 0 {
		notes = append(notes, fmt.Sprintf("the descriptors of %d processes could not be read, so that owners may be missing: %v", w.refused, w.reason))
	}
	if w.late > 0 {
		notes = append(notes, fmt.Sprintf("there was no time for the descriptors of %d processes, so that owners may be missing", w.late))
	}
	if w.untold > 0 {
		notes = append(notes, fmt.Sprintf("sockets are open at more places than can be told: %d owners are missing", w.untold))
	}
	return notes
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
			if time.Now().After(w.search.until) {
				w.late++
				continue
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
			if len(w.found) >= w.search.most {
				w.untold++
				continue
			}
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
