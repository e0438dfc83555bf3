package status

import (
	"sync"
	"unsafe"

	"dtc/internal/proc"
)

// partText is how many bytes of text a part may hold before it is handed
// over, however few its items are: processes of any user may have command
// lines of 128 KiB each, and would fill our memory.
const partText = 1 << 20

// usualText is how many bytes of text a part is made with room for.
const usualText = 16 << 10

// part is some items of an answer, with the memory of their text.
type part[T any] struct {
	items []T
	text  []byte // what the items' strings are made of

	block int         // which they are of
	last  bool        // no more of the block follows
	owner *sweeper[T] // that waits for this memory
}

// string makes a string of b that lives as long as the part: until reset. A
// list has a few strings an item, and each of its own would cost an allocation.
func (p *part[T]) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if p.text == nil {
		p.text = make([]byte, 0, usualText)
	}
	start := len(p.text)
	p.text = append(p.text, b...) // strings made so far keep the memory that it may leave
	return unsafe.String(&p.text[start], len(b))
}

// reset empties the part.
func (p *part[T]) reset() {
	clear(p.items) // so that it keeps no text of others
	*p = part[T]{items: p.items[:0], text: p.text[:0]}
}

// partPool keeps the memory of parts and of targets from one answer to the
// next.
type partPool[T any] struct{ parts, targets sync.Pool }

func (m *partPool[T]) get() *part[T] {
	if p, ok := m.parts.Get().(*part[T]); ok {
		return p
	}
	return &part[T]{items: make([]T, 0, maxBlock)}
}

// put takes back a part that nobody uses any more.
func (m *partPool[T]) put(p *part[T]) {
	p.reset()
	m.parts.Put(p)
}

// openTarget returns a target that has entered no process yet.
func (m *partPool[T]) openTarget(fs proc.FS) (*target, error) {
	p, ok := m.targets.Get().(*target)
	if !ok {
		p = &target{in: proc.NewScanner(fs)}
		p.owner = p.in.Owner
	}
	if err := p.in.Open(); err != nil {
		return nil, err
	}
	return p, nil
}

// closeTarget takes back a target.
func (m *partPool[T]) closeTarget(p *target) {
	_ = p.in.Close() // nothing was written
	p.text = nil
	m.targets.Put(p)
}
