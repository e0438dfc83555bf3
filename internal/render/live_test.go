package render

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dtc"
)

// roundOf returns what a host answered the nth time, in two parts.
func roundOf(status dtc.Status, host, n int) []*dtc.Report {
	parts := make([]*dtc.Report, 2)
	for i := range parts {
		r := &dtc.Report{
			Host: fmt.Sprintf("web%d", host), Address: "10.0.0.7:7701", Status: status, Partial: i == 0,
			CollectedAt: time.Date(2026, 11, 22, 7, 15, 1, 0, time.UTC),
		}
		text := strings.Repeat(fmt.Sprintf("%d of %d ", n, host), 1+n%50)
		r.Process = []dtc.Process{{PID: n, User: "root", TTY: "?", State: "S", Command: text}}
		r.OpenFiles = []dtc.OpenFile{{PID: n, User: "root", Command: "x", FD: "3", Type: "REG", Name: text}}
		r.Sockets = []dtc.Socket{{Protocol: "tcp", LocalAddress: text, LocalPort: n, RemoteAddress: "::"}}
		parts[i] = r
	}
	return parts
}

// What is shown, as often as one likes, is what a document makes of the newest
// whole answers, in every form, wherever they are kept.
func TestLiveIsTheNewestOfEach(t *testing.T) {
	const hosts = 5
	for _, status := range []dtc.Status{dtc.StatusProcess, dtc.StatusOpenFiles, dtc.StatusSockets} {
		for _, opt := range []Options{{}, {Flat: true}, {Color: true, NoHeader: true}, {SpoolMemory: 500, SpoolDir: t.TempDir()}} {
			rng := rand.New(rand.NewPCG(7, 7))
			l := NewLive(status, hosts, opt)
			newest := make([][]*dtc.Report, hosts)
			coming := make([][]*dtc.Report, hosts)
			for n := range 300 {
				switch i := rng.IntN(hosts); {
				case n%50 == 49:
					newest[i], coming[i] = nil, nil
					if err := l.Add(i, &dtc.Report{Err: errors.New("gone")}); err != nil {
						t.Fatal(err)
					}
				case coming[i] == nil:
					coming[i] = roundOf(status, i, n)
					if err := l.Add(i, coming[i][0]); err != nil {
						t.Fatal(err)
					}
				default:
					if err := l.Add(i, coming[i][1]); err != nil {
						t.Fatal(err)
					}
					newest[i], coming[i] = coming[i], nil
				}
				var got, want bytes.Buffer
				if err := l.Show(&got); err != nil {
					t.Fatal(err)
				}
				d := NewDocument(&want, status, hosts, opt)
				for i, parts := range newest {
					if parts == nil {
						parts = []*dtc.Report{{Err: errors.New("none")}}
					}
					for _, part := range parts {
						if err := d.Add(i, part); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := d.Close(); err != nil || got.String() != want.String() {
					t.Fatalf("%s %+v, after %d: %v\n%s\nwant\n%s", status, opt, n, err, &got, &want)
				}
			}
			if err := l.Clear(); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := l.Show(&got); err != nil || got.Len() > 0 && !opt.Flat {
				t.Errorf("cleared: %v %q", err, &got)
			}
			l.Close()
		}
	}
}

// However long it is watched, neither the memory nor the file grows beyond what
// the answers of now need.
func TestLiveIsBounded(t *testing.T) {
	const hosts, size = 4, 1 << 20
	large := &dtc.Report{Status: dtc.StatusProcess, Host: "web1", Process: []dtc.Process{{Command: strings.Repeat("x", size)}}}
	l := NewLive(dtc.StatusProcess, hosts, Options{SpoolMemory: 100, SpoolDir: t.TempDir()})
	defer l.Close()
	j := NewDocument(&bytes.Buffer{}, dtc.StatusProcess, hosts, Options{Format: FormatJSONL, SpoolMemory: 100, SpoolDir: t.TempDir()})
	defer j.Close()
	for n := range 200 {
		if err := errors.Join(l.Add(n%hosts, large), j.Add(n%hosts, large), j.Again(n%hosts)); err != nil {
			t.Fatal(err)
		}
		j.out.w.(*bytes.Buffer).Reset()
		for _, s := range []*store{l.doc.store, j.store} {
			if s.used > 100 || fileSize(t, s) > 2*tidyAfter+4*hosts*size {
				t.Fatalf("after %d: %d bytes of memory, a file of %d", n, s.used, fileSize(t, s))
			}
		}
	}
	var got bytes.Buffer
	if err := l.Show(&got); err != nil || strings.Count(got.String(), "x") < hosts*size {
		t.Errorf("%d bytes: %v", got.Len(), err)
	}
}

func fileSize(tb testing.TB, s *store) int64 {
	tb.Helper()
	if s.file == nil {
		return 0
	}
	info, err := s.file.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
