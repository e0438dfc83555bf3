package notify

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc/internal/bounds"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func mustQueue(tb rapid.TB, dir string) *queue {
	tb.Helper()
	q, err := openQueue(dir, quiet())
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func recordOf(seq uint64, bytes int) *record {
	e := deadPID(1, 7)
	e.ID, e.Reason = fmt.Sprintf("e-%d", seq), strings.Repeat("x", bytes)
	return &record{
		Seq: seq, ID: fmt.Sprintf("n-%d", seq), Kind: Problem, Title: "it ended",
		Time: benchStart().Add(time.Duration(seq) * time.Second), Events: []storedEvent{storedEvent(e)},
	}
}

// seqs returns the notices that wait.
func (q *queue) seqs() []uint64 {
	list := []uint64{}
	for _, s := range q.waiting {
		list = append(list, s.seq)
	}
	return list
}

func TestQueueOutlivesItsProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	q := mustQueue(t, dir)
	for seq := range uint64(5) {
		q.append(recordOf(seq+1, 10))
	}
	for want := uint64(1); want <= 2; want++ {
		s, r, err := q.head()
		if err != nil || s.seq != want || r.ID != fmt.Sprintf("n-%d", want) {
			t.Fatalf("head %d, %+v, %v", s.seq, r, err)
		}
		q.finish(s)
	}
	for range 3 { // nothing is closed: each is a kill
		q = mustQueue(t, dir)
		if got := q.seqs(); !slices.Equal(got, []uint64{3, 4, 5}) || q.last != 5 || q.done != 2 {
			t.Fatalf("waiting %v, last %d, done %d", got, q.last, q.done)
		}
	}
	if got := q.since(1); len(got) != 4 || got[0].ID != "n-2" || got[0].Events[0].ID != "e-2" {
		t.Errorf("since: %v", got)
	}
	q.append(recordOf(6, 10))
	q.finish(q.waiting...)
	q = mustQueue(t, dir)
	if got := q.seqs(); len(got) != 0 || q.last != 6 {
		t.Errorf("waiting %v, last %d", got, q.last)
	}
}

func TestQueueRemovesWhatIsDone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	q := mustQueue(t, dir)
	for seq := range uint64(40) {
		q.append(recordOf(seq+1, 100<<10))
	}
	files := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if files() < 4 {
		t.Errorf("%d files", files())
	}
	q.finish(q.waiting[:30]...)
	q.settle(20) // whoever made them remembers only these
	if got := q.since(20); len(got) != 20 {
		t.Errorf("%d notices since the 20th", len(got))
	}
	q.finish(q.waiting...)
	q.settle(40)
	if files() != 1 {
		t.Errorf("%d files", files())
	}
	q = mustQueue(t, dir)
	if q.last != 40 || len(q.waiting) != 0 {
		t.Errorf("last %d, waiting %v", q.last, q.seqs())
	}
	q.append(recordOf(41, 1))
	if q = mustQueue(t, dir); !slices.Equal(q.seqs(), []uint64{41}) {
		t.Errorf("waiting %v", q.seqs())
	}
}

func TestQueueSurvivesGarbage(t *testing.T) {
	for name, spoil := range map[string]func(path string, data []byte) []byte{
		"torn":        func(_ string, data []byte) []byte { return data[:len(data)-7] },
		"empty":       func(string, []byte) []byte { return nil },
		"zeros":       func(_ string, data []byte) []byte { return append(data, make([]byte, 5000)...) },
		"half a line": func(_ string, data []byte) []byte { return append(data, "12345678 n 9"...) },
		"no line of ours": func(_ string, data []byte) []byte {
			return slices.Concat([]byte("hello\n\n"), data, sealLine([]byte("x 1")), sealLine([]byte("n 0 0 - {}")), sealLine([]byte("d x")))
		},
		"a flipped bit": func(_ string, data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"not JSON":      func(_ string, data []byte) []byte { return append(data, noticeLine(&slot{seq: 4}, []byte("{"))...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "queue")
			q := mustQueue(t, dir)
			for seq := range uint64(3) {
				q.append(recordOf(seq+1, 10))
			}
			must(t, q.release())
			path := filepath.Join(dir, segmentName(1))
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, spoil(path, data), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "foreign"), []byte("x"), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, segmentName(2)), []byte("garbage"), 0o600))

			q = mustQueue(t, dir)
			for _, seq := range q.seqs() {
				if seq > 4 {
					t.Errorf("waiting %v", q.seqs())
				}
			}
			q.append(recordOf(9, 10))
			q = mustQueue(t, dir)
			for len(q.waiting) > 0 { // each can be delivered, or says that it cannot be read
				s, r, err := q.head()
				if (err == nil) != (r != nil) {
					t.Fatalf("%v, %v", r, err)
				}
				q.finish(s)
				if len(q.waiting) == 0 && (s.seq != 9 || r == nil) {
					t.Errorf("the last is %d: %v", s.seq, err)
				}
			}
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	q := mustQueue(t, filepath.Join(t.TempDir(), "queue"))
	for seq := range uint64(20) {
		q.append(recordOf(seq+1, 4<<20))
		if over := q.excess(); len(over) > 0 {
			q.finish(over...)
		}
	}
	if q.bytes > maxWaitingBytes || len(q.waiting) < 10 || q.waiting[len(q.waiting)-1].seq != 20 {
		t.Errorf("%d bytes wait in %v", q.bytes, q.seqs())
	}
	for i := range maxWaiting { // only as if
		q.waiting = append(q.waiting, slot{seq: uint64(100 + i)})
	}
	if over := q.excess(); len(over) < maxWaiting/10 || over[0].seq != q.waiting[0].seq {
		t.Errorf("%d are too many", len(over))
	}
}

// TestAnyQueue has a queue do anything, be killed and be torn, and compares it
// with a plain list.
func TestAnyQueue(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		defer func() { _ = os.RemoveAll(dir) }()
		q := mustQueue(t, dir)
		var want []uint64
		last, read := uint64(0), uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 2).Draw(t, "n") { // each is synced to the disk
					last++
					q.append(recordOf(last, rapid.SampledFrom([]int{0, 10, 200_000}).Draw(t, "bytes")))
					want = append(want, last)
				}
			},
			"finish": func(t *rapid.T) {
				n := rapid.IntRange(0, len(want)).Draw(t, "n")
				q.finish(slices.Clone(q.waiting[:n])...)
				want = want[n:]
			},
			"settle": func(t *rapid.T) { q.settle(rapid.Uint64Range(0, last).Draw(t, "saved")) },
			"kill": func(*rapid.T) {
				_ = q.release()
				q, read = mustQueue(t, dir), 0
			},
			"tear": func(t *rapid.T) {
				_ = q.release()
				if n := len(q.segments); n > 0 {
					path := filepath.Join(dir, segmentName(q.segments[n-1].number))
					f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = f.Write(rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "torn"))
					_ = f.Close()
				}
				q, read = mustQueue(t, dir), 0
			},
			"": func(t *rapid.T) {
				if got := q.seqs(); !slices.Equal(got, append([]uint64{}, want...)) {
					t.Fatalf("waiting %v, want %v", got, want)
				}
				if len(want) == 0 || want[0] == read {
					return
				}
				read = want[0]
				if s, r, err := q.head(); err != nil || s.seq != read || r.Seq != read {
					t.Fatalf("head %d, %v", s.seq, err)
				}
			},
		})
		_ = q.release()
	})
}

func FuzzQueueLine(f *testing.F) {
	f.Add([]byte("12345678 n 1 2 - {}"))
	f.Add(bytes.TrimSuffix(doneLine(7), []byte("\n")))
	f.Add(bytes.TrimSuffix(noticeLine(&slot{seq: 3, flags: flagOwn}, []byte("{}")), []byte("\n")))
	f.Fuzz(func(t *testing.T, line []byte) {
		defer bounds.Alloc(t, len(line))()
		p, err := parseQueueLine(line)
		if err == nil && (p.slot == nil) == (p.done == 0) {
			t.Errorf("%q is %+v", line, p)
		}
	})
}
