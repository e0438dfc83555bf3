//go:build !linux

package watch

import (
	"log/slog"
	"time"

	"dtc"
)

// killCounter is nothing here.
type killCounter struct{}

// oomWatch knows nothing: these systems do not kill processes for being out of
// memory, or do not tell.
type oomWatch struct{}

func newOOMWatch(*slog.Logger) *oomWatch { return &oomWatch{} }

func (*oomWatch) attach(*process) {}

func (*oomWatch) refresh() {}

func (*oomWatch) counts() bool { return false }

func (*oomWatch) rest() {}

func (*oomWatch) killed(*process, dtc.Exit, time.Duration) bool { return false }
