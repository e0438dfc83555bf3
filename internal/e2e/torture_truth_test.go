//go:build linux

package e2e

import (
	"bytes"
	"sync"
	"time"
)

// truth is all that was ever written to one followed path, apart from what any
// program says of it: every content that a file at the path had, byte by byte,
// with the times at which bytes came and were destroyed.
type truth struct {
	alias string

	mu       sync.Mutex
	contents []*content // the oldest first
	made     int
	bytes    int64
}

// content is what a file held between two truncations: what the programs call a
// generation.
type content struct {
	number int
	made   time.Time
	file   *inode
	parent *content // what the file held before it was truncated; nil: it is its file's first
	kept   int64    // bytes of parent that it begins with
	data   []byte
	wrote  []stamp            // sizes, and when they were reached
	born   map[*content]int64 // sizes that the older ones had when this got its first byte
	copies map[*sibling]int64 // files that hold its first bytes, and how many of them

	destroyed time.Time // truncated away; zero: not
	orphaned  time.Time // its file has no name any more that a follower would find; zero: it has
	rotated   bool      // its file was renamed away from the path
	closed    bool      // and nobody can write to it
	uncopied  time.Time // when a copy of it was removed last
	cloned    int64     // bytes of it that the last copy has

	weighed int64 // what is missing before it was judged at an earlier checkpoint

	cursor
	saved cursor // before the copy was read
}

// cursor says how far a content was found in the copy.
type cursor struct {
	pos     int64 // everything before it is in the copy
	entered int64 // where it begins in the copy's reading of it
	seen    bool  // any of it was found
	first   int64 // position in the copy of the first byte found
	last    int64 // position in the copy after the last byte found
}

// stamp says that a content had reached a size by a time.
type stamp struct {
	size int64
	at   time.Time
}

// inode is one file, whatever its names are.
type inode struct {
	content *content
	names   int // that a follower finds it by: the path itself, and siblings
	writers int // descriptors that may write to it
}

// sibling is a file that a rotation left beside the path.
type sibling struct {
	path    string
	file    *inode   // nil: it is a copy
	of      *content // of which
	archive bool     // a compressed copy
}

func (t *truth) now() time.Time { return time.Now() }

// create notes a new file at the path.
func (t *truth) create() *inode {
	in := &inode{names: 1}
	in.content = t.newContent(in, nil, 0)
	return in
}

func (t *truth) newContent(in *inode, parent *content, kept int64) *content {
	t.made++
	c := &content{number: t.made, made: t.now(), file: in, parent: parent, kept: kept, copies: map[*sibling]int64{}}
	if parent != nil {
		c.data = bytes.Clone(parent.data[:kept])
		c.orphaned = parent.orphaned
	}
	t.contents = append(t.contents, c)
	return c
}

// grow notes bytes that are about to be written at an offset of a file.
func (t *truth) grow(in *inode, off int64, b []byte) {
	c := in.content
	if c.born == nil {
		c.born = map[*content]int64{}
		for _, o := range t.contents {
			if o != c {
				c.born[o] = int64(len(o.data))
			}
		}
	}
	if hole := off - int64(len(c.data)); hole > 0 {
		c.data = append(c.data, make([]byte, hole)...)
		t.bytes += hole
	}
	c.data = append(c.data, b...)
	t.bytes += int64(len(b))
	if n := len(c.wrote); n > 0 && time.Since(c.wrote[n-1].at) < 20*time.Millisecond {
		c.wrote[n-1].size = int64(len(c.data)) // coarse is enough
		return
	}
	c.wrote = append(c.wrote, stamp{int64(len(c.data)), t.now()})
}

// truncate notes that a file is cut to n bytes.
func (t *truth) truncate(in *inode, n int64) {
	old := in.content
	n = min(n, int64(len(old.data)))
	old.destroyed = t.now()
	in.content = t.newContent(in, old, n)
}

// name notes that a file got one more name, or lost one, of those that a
// follower finds.
func (t *truth) name(in *inode, more int) {
	in.names += more
	if in.names == 0 {
		in.content.orphaned = t.now()
		t.release(in, 0)
	}
}

// release notes that writers of a file closed it.
func (t *truth) release(in *inode, writers int) {
	in.writers -= writers
	in.content.closed = in.names == 0 && in.writers == 0
}

// looked returns how many of c's bytes were there for long enough before the
// time to that a follower that ran meanwhile must have seen them.
func (c *content) looked(to time.Time, ran func(from, to time.Time) time.Duration) int64 {
	var size int64
	for _, s := range c.wrote {
		if ran(s.at, to) < sight {
			break
		}
		size = s.size
	}
	return size
}

// begun returns when c got its first byte of its own.
func (c *content) begun() time.Time {
	if len(c.wrote) == 0 {
		return c.made
	}
	return c.wrote[0].at
}

// gone returns when c's bytes ceased to be in a file that a follower finds; zero:
// they are.
func (c *content) gone() time.Time {
	if !c.destroyed.IsZero() {
		return c.destroyed
	}
	return c.orphaned
}

// reachable returns how many of c's first bytes a follower can find in some
// file now.
func (c *content) reachable() int64 {
	var n int64
	if c.gone().IsZero() {
		n = int64(len(c.data))
	}
	for s, length := range c.copies {
		if !s.archive {
			n = max(n, length)
		}
	}
	return n
}

// common returns how many first bytes c has of its ancestor a.
func (c *content) common(a *content) int64 {
	n := int64(1) << 62
	for ; c != a; c = c.parent {
		if c == nil {
			return 0
		}
		n = min(n, c.kept)
	}
	return n
}
