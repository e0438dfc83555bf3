package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"dtc/internal/proc"
)

const (
	// maxPIDFile is how much of a file is read, in bytes. Some programs write more
	// than the pid into theirs, on further lines.
	maxPIDFile = 4 << 10

	// sureAfter is how long a file must have been left alone before it counts as
	// unchanged while its size and time are the same: times are coarse.
	sureAfter = 2 * time.Second
)

// pidFile is a file that holds a pid, as it was last read.
type pidFile struct {
	info fs.FileInfo // nil: it was not
	sure bool        // a later change shows in the size or the time
	at   place
}

// same says whether the file is as it was when it was read.
func (p *pidFile) same(now fs.FileInfo) bool {
	return p.info != nil && p.sure && now.Size() == p.info.Size() && now.ModTime().Equal(p.info.ModTime()) && os.SameFile(now, p.info)
}

// findFiles asks the pidfiles of the trials with these indices.
func (p *places) findFiles(ctx context.Context, trials []trial, of []int, into []place) {
	if len(of) == 0 {
		return
	}
	r := pidFileReader{paths: make([]string, len(of)), last: make([]pidFile, len(of))}
	for i, at := range of {
		r.paths[i] = trials[at].rule.PIDFile
		if known := p.files[r.paths[i]]; known != nil {
			r.last[i] = *known
		}
	}
	files := make(map[string]*pidFile, len(of))
	_ = inTurn(ctx, p.finder.files, r.paths, func() looker[readPIDFile] { return &r }, func(read readPIDFile) {
		files[r.paths[read.index]] = &read.file
		into[of[read.index]] = read.file.at
	})
	p.files = files
}

// pidFileReader reads pidfiles, one after the other. It is not changed by that.
type pidFileReader struct {
	paths []string
	last  []pidFile
}

type readPIDFile struct {
	index int
	file  pidFile
}

func (r *pidFileReader) glance(at int, put func(readPIDFile)) {
	put(readPIDFile{at, pidFile{at: place{err: fmt.Errorf("read %s: its file system does not answer", r.paths[at])}}})
}

func (r *pidFileReader) look(at int, put func(readPIDFile)) {
	info, err := os.Stat(r.paths[at])
	if err == nil && r.last[at].same(info) {
		put(readPIDFile{at, r.last[at]})
		return
	}
	file := pidFile{info: info}
	if err == nil {
		file.sure = time.Since(info.ModTime()) > sureAfter
	}
	file.at = placeOf(r.paths[at])
	put(readPIDFile{at, file})
}

func (*pidFileReader) done() {}

// placeOf reads a pidfile. That there is none is no error, and no problem.
func placeOf(path string) (at place) {
	data, written, err := readPlain(path, maxPIDFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{problem: "there is no file " + quoted(path)}
	case errors.Is(err, errNotPlain):
		return place{problem: fmt.Sprintf("%s is no plain file", quoted(path))}
	case err != nil:
		return place{err: err}
	}
	pid, ok := parsePIDFile(data)
	if !ok {
		return place{problem: fmt.Sprintf("%s holds no pid", quoted(path))}
	}
	return place{pids: []int{pid}, written: written}
}

// isThere says whether there is a process with this pid: a file may hold the
// number of a mere thread.
func isThere(pid int) bool {
	seen, err := proc.Look(pid)
	return err == nil && !seen.Zombie
}

// parsePIDFile reads the pid at the beginning of a file's first line.
func parsePIDFile(data []byte) (pid int, ok bool) {
	line, _, _ := bytes.Cut(bytes.TrimLeft(data, " \t\r\n"), []byte("\n"))
	n, err := strconv.Atoi(string(bytes.TrimRight(line, " \t\r\x00")))
	return n, err == nil && n > 0 && n <= math.MaxInt32 && line[0] != '+'
}

var errNotPlain = errors.New("no plain file")

// readPlain reads the beginning of a plain file, and when it was written. It
// never waits for who writes to a pipe.
func readPlain(path string, limit int64) (data []byte, written time.Time, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, written, err
	}
	if !info.Mode().IsRegular() {
		return nil, written, errNotPlain
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, written, err
	}
	defer func() { _ = file.Close() }()
	if info, err = file.Stat(); err != nil {
		return nil, written, err
	}
	if !info.Mode().IsRegular() {
		return nil, written, errNotPlain // it was replaced meanwhile
	}
	data, err = io.ReadAll(io.LimitReader(file, limit))
	return data, info.ModTime(), err
}
