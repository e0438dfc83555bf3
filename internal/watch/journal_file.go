package watch

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names in the journal's folder. A journal is a row of files journal-N: each
// begins with all that there is to remember, and the one with the highest N
// that was written so far is the one that counts.
const (
	journalPrefix = "journal-"
	aliveName     = "alive"
)

// journalName is the name of a generation's file.
func journalName(generation uint64) string {
	return journalPrefix + strconv.FormatUint(generation, 10)
}

// generations lists the files of journals there are in a folder, the newest
// first.
func generations(folder string) ([]uint64, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	var list []uint64
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, journalPrefix)
		// Nobody counts to 18 digits: with more, the next number might not fit.
		if n, err := strconv.ParseUint(rest, 10, 64); ok && err == nil && len(rest) < 18 && name == journalName(n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list, err
}

// openRegular opens a file that is one: reading anything else could wait for
// ever.
func openRegular(path string, flag int) (*os.File, error) {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || flag&os.O_CREATE == 0) {
		return nil, err
	}
	return os.OpenFile(path, flag, 0o600)
}

// readGeneration reads one file.
func readGeneration(path string) (*former, error) {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f, err := readJournal(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// createGeneration begins a new file with all that there is to remember, and
// returns it open, with its length.
func createGeneration(path string, head headRecord, all *batch) (_ *os.File, size int64, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(path) // half of one is none
		}
	}()
	out := newLineWriter(file)
	out.line(&record{Head: &head})
	all.write(out)
	size, err = out.flush()
	return file, size, err
}

// removeBefore removes the files of journals that are older than one.
func removeBefore(folder string, generation uint64) error {
	list, err := generations(folder)
	for _, n := range list {
		if n < generation {
			err = errors.Join(err, os.Remove(filepath.Join(folder, journalName(n))))
		}
	}
	return err
}

// syncFolder makes the names in the folder durable, where the system can.
func syncFolder(folder string) {
	if dir, err := os.Open(folder); err == nil {
		_ = dir.Sync() // not everywhere
		_ = dir.Close()
	}
}

// lineWriter writes records, one a line, and keeps the first error.
type lineWriter struct {
	buf     *bufio.Writer
	encoder *json.Encoder
	file    *os.File
	size    int64
	err     error
}

func newLineWriter(file *os.File) *lineWriter {
	w := &lineWriter{file: file}
	w.buf = bufio.NewWriterSize(counted{w}, 64<<10)
	w.encoder = json.NewEncoder(w.buf)
	w.encoder.SetEscapeHTML(false)
	return w
}

// counted counts what goes into the file.
type counted struct{ *lineWriter }

// Write implements [io.Writer].
func (c counted) Write(b []byte) (int, error) {
	n, err := c.file.Write(b)
	c.size += int64(n)
	return n, err
}

func (w *lineWriter) line(r *record) {
	if w.err == nil {
		w.err = w.encoder.Encode(r)
	}
}

// flush writes what is left, and returns how many bytes were written since the
// last flush.
func (w *lineWriter) flush() (size int64, err error) {
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	size, w.size = w.size, 0
	return size, w.err
}
