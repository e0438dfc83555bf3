//go:build linux

package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// quietFile is a followed file that gets a line now and then, with what shows
// when each line is where.
type quietFile struct {
	out    *os.File
	copied *os.File // nil: nobody looks there
	size   int64    // written
	line   string

	mu   sync.Mutex
	came []time.Time // when a reader was given the lines
}

// newQuiet makes a file that l follows already under its name, and waits for its
// copy.
func newQuiet(b *testing.B, l *lone, path string) *quietFile {
	b.Helper()
	q := &quietFile{line: strings.Repeat("x", 119) + "\n"}
	var err error
	if q.out, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { q.out.Close() })
	q.out.WriteString("first\n")
	q.size = int64(len("first\n"))
	copied := filepath.Join(l.home, "logs", "127.0.0.1", filepath.Base(path))
	eventually(b, func() string { return "no copy\n" + l.agent.log.String() }, func() bool { return readFile(copied) != "" })
	if q.copied, err = os.Open(copied); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { q.copied.Close() })
	return q
}

// follow starts a `dtc logs -f` that notes when the lines come.
func (q *quietFile) follow(b *testing.B, l *lone) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), dtcPath(), "logs", "-f", "-n", "1", "--home", l.home, filepath.Base(q.out.Name()))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for lines := bufio.NewReader(out); ; {
			if _, err := lines.ReadString('\n'); err != nil {
				return
			}
			q.mu.Lock()
			q.came = append(q.came, time.Now())
			q.mu.Unlock()
		}
	})
	b.Cleanup(func() {
		cmd.Process.Kill()
		wg.Wait()
		cmd.Wait()
	})
	eventually(b, func() string { return "no line of dtc logs -f" }, func() bool { return q.read() == 1 })
}

// read returns how many lines the reader was given.
func (q *quietFile) read() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.came)
}

// latencies are how long lines took.
type latencies struct{ toCopy, toReader []time.Duration }

// write writes a line, looks on until it is in the copy, and returns how long
// that took.
func (q *quietFile) write(b *testing.B) (at time.Time, took time.Duration) {
	b.Helper()
	at = time.Now()
	q.out.WriteString(q.line)
	q.size += int64(len(q.line))
	for time.Since(at) < patience {
		if info, err := q.copied.Stat(); err != nil || info.Size() >= q.size {
			break
		}
		pause()
	}
	return at, time.Since(at)
}

// run writes 50 lines a second as long as more says so.
func (q *quietFile) run(b *testing.B, more func(lines int) bool) (all latencies) {
	b.Helper()
	var wrote []time.Time
	before := q.read()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for more(len(wrote)) {
		<-tick.C
		at, took := q.write(b)
		wrote, all.toCopy = append(wrote, at), append(all.toCopy, took)
	}
	if before == 0 {
		return all // nobody reads
	}
	eventually(b, func() string { return "dtc logs -f is behind" }, func() bool { return q.read() == before+len(wrote) })
	for i, at := range wrote {
		all.toReader = append(all.toReader, q.came[before+i].Sub(at))
	}
	return all
}

// reportTail prints the median, the 99th percentile and the most.
func reportTail(b *testing.B, d []time.Duration, name string) {
	b.Helper()
	report(b, d, name)
	b.ReportMetric(float64(percentile(d, 0.99).Microseconds())/1000, name+"-p99-ms")
	b.ReportMetric(float64(slices.Max(d).Microseconds())/1000, name+"-max-ms")
}

// BenchmarkLineToCopy measures from the write of a line to its presence in the
// copy, and to the output of `dtc logs -f`, at 50 lines a second.
func BenchmarkLineToCopy(b *testing.B) {
	file := filepath.Join(b.TempDir(), "app.log")
	l := newLone(b, file)
	q := newQuiet(b, l, file)
	for b.Loop() {
		alone := q.run(b, func(lines int) bool { return lines < 500 })
		q.follow(b, l)
		read := q.run(b, func(lines int) bool { return lines < 500 })
		reportTail(b, alone.toCopy, "line-to-copy")
		reportTail(b, read.toReader, "line-to-reader")
	}
}

// BenchmarkLineBesideBacklog is the same while another file of the host, of
// 5 GiB, is drained.
func BenchmarkLineBesideBacklog(b *testing.B) {
	const size = 5 << 30
	dir := b.TempDir()
	file, big := filepath.Join(dir, "app.log"), filepath.Join(dir, "big.log")
	numberedLines(b, big+".part", 1<<28)
	repeat(b, big+".part", big, size)
	l := newLone(b, file)
	q := newQuiet(b, l, file)
	copied := filepath.Join(l.home, "logs", "127.0.0.1", "big.log")
	for b.Loop() {
		q.follow(b, l)
		settle(b)
		writeFile(b, filepath.Join(l.agentHome, "conf", "agent.xml"), agentXML(l.agentAt, l.monitorAt, file, big))
		namespace("").must(b, agentPath(), "reload", "--home", l.agentHome)
		var began, ended time.Time
		beside := q.run(b, func(int) bool {
			info, err := os.Stat(copied)
			if err == nil && began.IsZero() {
				began = time.Now()
			}
			ended = time.Now()
			return err != nil || info.Size() < size
		})
		reportTail(b, beside.toCopy, "line-to-copy")
		reportTail(b, beside.toReader, "line-to-reader")
		b.ReportMetric(size/1e6/ended.Sub(began).Seconds(), "backlog-MB/s")
	}
}

// repeat writes what one file holds again and again into another, up to a size,
// and removes the first.
func repeat(b *testing.B, from, to string, size int64) {
	b.Helper()
	part, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer part.Close()
	out, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	for n := int64(0); n < size; {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		k, err := io.Copy(out, part)
		if err != nil {
			b.Fatal(err)
		}
		n += k
	}
	if err := os.Remove(from); err != nil {
		b.Fatal(err)
	}
}
