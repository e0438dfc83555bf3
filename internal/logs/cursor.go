package logs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"dtc/internal/atomicfile"
)

// Cursor is a file that remembers how far copies have been read, so that the
// next reading begins there.
type Cursor struct {
	path    string
	found   bool
	changed bool
	places  map[Target]Place
}

// The first fields of a cursor's file: what it is, and its version.
const (
	cursorFormat  = "dtc-logs-cursor"
	cursorVersion = 1
)

// maxCursor bounds a cursor's file that is read: a place takes some 200 bytes.
const maxCursor = 64 << 20

// cursorFile is what the file holds, as JSON.
type cursorFile struct {
	Format  string  `json:"format"`
	Version int     `json:"version"`
	Copies  []Place `json:"copies"`
}

// OpenCursor reads a cursor's file. Where there is none, or an empty one, the
// first [Cursor.Save] makes it. It fails where that could not be.
func OpenCursor(path string) (*Cursor, error) {
	c := &Cursor{path: path, places: map[Target]Place{}, changed: true}
	if err := c.writable(); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the cursor: %w", err)
	}
	defer f.Close() // nothing was written
	b, err := io.ReadAll(io.LimitReader(f, maxCursor+1))
	if err != nil {
		return nil, fmt.Errorf("read the cursor: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return c, nil
	}
	var file cursorFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil || file.Format != cursorFormat || d.More() || len(b) > maxCursor {
		return nil, fmt.Errorf("read the cursor: %s is none of dtc logs, or damaged: name another file, or remove it to begin anew", path)
	}
	if file.Version != cursorVersion {
		return nil, fmt.Errorf("read the cursor: %s was written by a newer version of dtc", path)
	}
	for _, p := range file.Copies {
		if p.Position < 0 || p.Position > maxPosition {
			return nil, fmt.Errorf("read the cursor: %s has a position that cannot be: %d", path, p.Position)
		}
		c.places[p.Target] = p
	}
	c.found, c.changed = true, false
	return c, nil
}

// writable fails if the file could not be written: before anything is read that
// would be read again then.
func (c *Cursor) writable() error {
	there, err := os.Stat(c.path)
	if err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("read the cursor: %s is not a regular file: name another", c.path)
	}
	path := c.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // see [atomicfile.Replace]
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".try-*")
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return nil
}

// Begin returns where a reading begins, as [Query.Begin] has it; nil if nothing
// was read yet.
func (c *Cursor) Begin() map[Target]Place {
	if !c.found {
		return nil
	}
	return c.places
}

// Set takes note of how far a copy has been read.
func (c *Cursor) Set(p Place) {
	if c.places[p.Target] != p {
		c.places[p.Target] = p
		c.changed = true
	}
}

// Save returns what writes the file in one step, nil if nothing has changed
// since the last time. It may run beside [Cursor.Set].
func (c *Cursor) Save() (write func() error) {
	if !c.changed {
		return nil
	}
	file := cursorFile{Format: cursorFormat, Version: cursorVersion, Copies: make([]Place, 0, len(c.places))}
	for _, p := range c.places {
		file.Copies = append(file.Copies, p)
	}
	slices.SortFunc(file.Copies, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Folder, b.Folder), cmp.Compare(a.Alias, b.Alias))
	})
	c.changed = false
	return func() error {
		b, err := json.MarshalIndent(&file, "", " ")
		if err != nil {
			return err
		}
		return c.write(append(b, '\n'))
	}
}

// write puts new content into the file.
func (c *Cursor) write(b []byte) error {
	err := atomicfile.Replace(c.path, b)
	if errors.Is(err, fs.ErrNotExist) {
		err = atomicfile.Write(c.path, b, fileMode)
	}
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return nil
}
