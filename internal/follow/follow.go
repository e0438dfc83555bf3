// Package follow sees a growing, rotated and truncated file as runs of bytes
// with positions.
//
// A [Chain] is what stood at one path, in order: one [Generation] for each
// incarnation of its content, be it a file of its own or the content of one
// file between two truncations. A [Reader] reads a generation on from a
// position, and proves with each read that the bytes before it are still those
// that were read there: truncated and rewritten content is never mixed with
// what was before. A [Watcher] tells when it is time to look again.
//
// Nothing here knows where the bytes go, and nothing writes.
package follow

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// ErrBudget is the error of Open when as many files are open as the process may
// have for following.
var ErrBudget = errors.New("too many open files: raise the limit of open files (ulimit -n) or follow fewer")

// Host is what all chains of one agent share.
type Host struct {
	seed  maphash.Seed
	limit int64
	open  atomic.Int64

	mu       sync.Mutex // guards listings
	listings map[string]*listing
}

// NewHost returns a Host that opens at most limit files at a time; 0 stands for
// what the system permits this process, less a reserve for everything else.
func NewHost(limit int) *Host {
	if limit <= 0 {
		limit = descriptorLimit()
	}
	return &Host{seed: maphash.MakeSeed(), limit: int64(limit), listings: map[string]*listing{}}
}

// Limit returns how many files may be open at a time.
func (h *Host) Limit() int { return int(h.limit) }

// Opened returns how many files are open.
func (h *Host) Opened() int { return int(h.open.Load()) }

// Refusal is the error of a path that is there and may not be followed.
type Refusal struct {
	Path   string
	Reason string
}

// Error returns one line for an operator.
func (r *Refusal) Error() string { return fmt.Sprintf("%s is not followed: %s", r.Path, r.Reason) }
