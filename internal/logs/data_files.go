package logs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// dataFiles are data files of a copy that are open for reading, by number.
type dataFiles map[int]*os.File

func (d dataFiles) close() {
	for _, f := range d {
		_ = f.Close() // nothing was written
	}
}

// within returns them as what can be read until ctx is done.
func (d dataFiles) within(ctx context.Context) map[int]io.ReaderAt {
	all := make(map[int]io.ReaderAt, len(d))
	for file, f := range d {
		all[file] = contextReader{ctx, f}
	}
	return all
}

// segment returns the closed segment with that number, nil if none is kept.
func (m *model) segment(file int) *segment {
	i, ok := slices.BinarySearchFunc(m.segments, file, func(s segment, n int) int { return s.file - n })
	if !ok {
		return nil
	}
	return &m.segments[i]
}

// keeps tells whether a data file is one of the copy's still.
func (m *model) keeps(file int) bool { return file == m.files || m.segment(file) != nil }

// openSegments opens the closed segments that parts lie in.
func (c *replica) openSegments(parts []piece) (dataFiles, error) {
	files := dataFiles{}
	for _, p := range parts {
		if p.file == c.files || files[p.file] != nil {
			continue
		}
		f, err := c.openSegment(c.segment(p.file))
		if err != nil {
			files.close()
			return nil, err
		}
		files[p.file] = f
	}
	return files, nil
}

// openPieces opens the data files that parts lie in, the live one a second
// time: they may be read while the copy goes on.
func (c *replica) openPieces(parts []piece) (dataFiles, error) {
	files, err := c.openSegments(parts)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(parts, func(p piece) bool { return p.file == c.files }) {
		f, err := c.again()
		if err != nil {
			files.close()
			return nil, err
		}
		files[c.files] = f
	}
	return files, nil
}

// openSegment opens a closed segment for reading. It answers errMissing where
// the file is not there, or another one has its name.
func (p *place) openSegment(s *segment) (*os.File, error) {
	if s == nil {
		return nil, errMissing
	}
	f, err := openPlain(p.root, p.segmentPath(s.name), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	key, _, err := keyOf(f)
	if err == nil && !s.key.is(key) {
		err = errMissing
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
