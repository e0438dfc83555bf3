//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// reader is a dtc logs -f --raw that runs throughout.
type reader struct {
	program
	of   *actor
	done int64 // bytes of what it printed that were compared
}

// startReader follows the copy of a.
func (w *world) startReader(a *actor) {
	dir := filepath.Dir(w.src)
	w.reader = &reader{of: a, program: program{
		name: filepath.Join(w.bin, "dtc"), args: []string{"logs", "-f", "--raw", "-n", "1000000000", a.alias, "--home", w.home},
		out: w.logFile(dir, "reader.raw"), errors: w.logFile(dir, "reader.log"),
	}}
	w.reader.start(w.tb)
	w.tb.Cleanup(w.reader.kill)
}

// judge compares what the reader printed since the last look with the copy.
func (r *reader) judge() (waits, wrong error) {
	if !r.running() {
		return nil, fmt.Errorf("the reader ended: %s", readFile(r.errors.Name()))
	}
	got, err := readFrom(r.out.Name(), r.done)
	if err != nil {
		return nil, err
	}
	want, err := readFrom(r.of.path, r.done)
	if err != nil {
		return nil, err
	}
	n := min(len(got), len(want))
	switch {
	case string(got[:n]) != string(want[:n]) || len(got) > len(want):
		return nil, fmt.Errorf("dtc logs -f --raw is not the copy, behind byte %d: %s", r.done, different(got, want))
	case n < len(want):
		waits = fmt.Errorf("dtc logs -f --raw has printed %d of %d bytes", r.done+int64(n), r.done+int64(len(want)))
	}
	r.done += int64(n)
	return waits, nil
}

// readFrom returns the bytes of a file from off on.
func readFrom(path string, off int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < off {
		return nil, errors.Join(err, fmt.Errorf("%s has %d bytes, and had %d", path, info.Size(), off))
	}
	return io.ReadAll(io.NewSectionReader(f, off, info.Size()-off))
}

// verify has the agent prove the copies. Of what is gone it cannot say anything,
// but nothing may differ.
func (w *world) verify() error {
	r := namespace("").run(w.tb, filepath.Join(w.bin, "dtc"), "logs", "verify", "--home", w.home)
	w.count.add(func(t *tally) { t.verified++ })
	if r.code == 0 {
		return nil
	}
	for _, a := range w.streams {
		if line := findingRE(a.alias).FindString(r.stdout); line != "" && a.whole() {
			return fmt.Errorf("nothing of %s was destroyed, and dtc logs verify says: %s", a.alias, line)
		}
	}
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, ": not exact") && !strings.Contains(line, "they were lost") {
			return fmt.Errorf("dtc logs verify: %s", line)
		}
	}
	return nil
}

// findingRE matches what is not exact, or not known, of one copy.
func findingRE(alias string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\S*/` + regexp.QuoteMeta(alias) + ` .*: not .*$`)
}

// whole reports whether nothing was ever missing, and all contents are still in
// files.
func (o *oracle) whole() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.missing+o.unseen == 0 && o.spared == 0 && len(o.losses) == 0 && !o.parted
}

// What a program may take in a round: descriptors beside those of files that it
// follows or stores, threads, and memory in KiB.
const (
	mostFiles   = 80
	mostThreads = 64
	mostMemory  = 200 << 10
)

// checkUsage fails if a program takes more than it may.
func (w *world) checkUsage() error {
	followed := 0
	for _, a := range w.streams {
		a.mu.Lock()
		followed += 3*(len(a.sibs)+len(a.late)) + 20
		a.mu.Unlock()
	}
	for _, p := range []*program{&w.agent, &w.serve} {
		pid := p.pid()
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return fmt.Errorf("%s ended by itself: %w", filepath.Base(p.name), err)
		}
		threads, rss := memory(w.tb, pid, "Threads"), memory(w.tb, pid, "VmRSS")
		if len(files) > mostFiles+followed || threads > mostThreads || rss > mostMemory {
			return fmt.Errorf("%s has %d files open, %d threads and %d KiB resident", filepath.Base(p.name), len(files), threads, rss)
		}
	}
	return nil
}
