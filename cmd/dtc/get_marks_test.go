package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
	"dtc/internal/render"
)

// markedOf renders what two hosts answered, as a round of --watch does, and returns
// the marked lines.
func markedOf(t *testing.T, m *marker, opt render.Options, reports ...*dtc.Report) (marked []string) {
	t.Helper()
	p := &page{marks: m}
	m.next()
	m.begin()
	doc := render.NewDocument(p, reports[0].Status, len(reports), opt)
	for i, r := range reports {
		if err := doc.Add(i, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := doc.Close(); err != nil {
		t.Fatal(err)
	}
	m.end()
	for line := range strings.Lines(p.text.String()) {
		if line, ok := strings.CutPrefix(line, markRow); ok {
			marked = append(marked, strings.TrimSuffix(line, unmarkRow+"\n"))
		}
	}
	return marked
}

// before and after are two answers of one host. What is new in the second has
// "new" in its text, and all figures that can change have changed.
func before(status dtc.Status) *dtc.Report {
	r := &dtc.Report{Status: status, Host: "web1", Address: "10.0.0.7:7701", CollectedAt: time.Date(2026, 11, 22, 7, 15, 1, 0, time.UTC)}
	start := r.CollectedAt.Add(-time.Hour)
	switch status {
	case dtc.StatusProcess:
		for pid := 1; pid <= 3; pid++ {
			r.Process = append(r.Process, dtc.Process{
				PID: pid, User: "two words", CPUPercent: 1, RSSBytes: 1 << 20, VSZBytes: 2 << 30, TTY: "?", State: "S", StartedAt: start, Command: "old one",
			})
		}
		r.Process[0].User = "root"
	case dtc.StatusOpenFiles:
		for pid := 1; pid <= 3; pid++ {
			r.OpenFiles = append(r.OpenFiles, dtc.OpenFile{
				PID: pid, User: "root", Command: "a b", FD: "3", Mode: "u", Type: "REG", Device: "254,1", SizeBytes: 0, Offset: dtc.Absent, Node: "77", Name: "/tmp/old file 漢",
			})
		}
		r.OpenFiles[1].SizeBytes, r.OpenFiles[1].Device, r.OpenFiles[1].Node = dtc.Absent, "0xffffffffffff", ""
	case dtc.StatusSockets:
		r.Sockets = []dtc.Socket{
			{Protocol: "tcp", State: "LISTEN", LocalAddress: "0.0.0.0", LocalPort: 80, RemoteAddress: "0.0.0.0", RemotePort: dtc.Absent},
			{Protocol: "tcp", State: "SYN-SENT", LocalAddress: "10.0.0.7", LocalPort: 1, RemoteAddress: "10.0.0.8", RemotePort: 2},
		}
	case dtc.StatusDisk:
		r.Disk = []dtc.Disk{{Filesystem: "/dev/sda1", Type: "ext4", TotalBytes: 1 << 30, UsedBytes: 1, AvailableBytes: 9, UsedPercent: 1, MountedOn: "/mnt/a b"}}
	case dtc.StatusUsers:
		r.Users = []dtc.User{{Name: "ann", Line: "pts/0", LoginAt: start, From: "10.0.0.5", PID: 77}}
	case dtc.StatusServices:
		r.Services = []dtc.Service{{Name: "ssh.service", Load: "loaded", State: "active", SubState: "running", Since: start, PID: 77, Description: "a shell"}}
	case dtc.StatusInterfaces:
		r.Interfaces = []dtc.Interface{{Index: 1, Name: "lo", Flags: "UP", State: "UP", LinkType: "loopback"}}
	default: // no rows
	}
	return r
}

func after(status dtc.Status) *dtc.Report {
	r := before(status)
	r.CollectedAt = r.CollectedAt.Add(2 * time.Second)
	now := r.CollectedAt
	switch status {
	case dtc.StatusProcess:
		for i := range r.Process {
			p := &r.Process[i]
			p.CPUPercent, p.RSSBytes, p.VSZBytes, p.State, p.CPUSeconds = 99.9, 123<<30, 9, "Rl+", 1e6
		}
		again := r.Process[1]
		again.StartedAt, again.Command = now, "new with an old pid"
		r.Process = append(r.Process[:1], r.Process[2], again, dtc.Process{PID: 4, User: "root", TTY: "?", State: "S", StartedAt: now, Command: "new"})
	case dtc.StatusOpenFiles:
		for i := range r.OpenFiles {
			if r.OpenFiles[i].SizeBytes >= 0 {
				r.OpenFiles[i].SizeBytes = 1 << 40
			}
		}
		other := r.OpenFiles[0]
		other.FD, other.Name = "1234", "/tmp/new"
		r.OpenFiles = append(r.OpenFiles, other)
	case dtc.StatusSockets:
		r.Sockets[0].ReceiveQueue, r.Sockets[1].State, r.Sockets[1].SendQueue = 1234567, "ESTAB", 1<<40
		r.Sockets[1].Owners = []dtc.SocketOwner{{Name: "a", PID: 1, FD: 2}}
		r.Sockets = append(r.Sockets, dtc.Socket{
			Protocol: "tcp", State: "ESTAB", LocalAddress: "10.0.0.7", LocalPort: 1, RemoteAddress: "10.0.0.9", RemotePort: 2,
			Owners: []dtc.SocketOwner{{Name: "new", PID: 1, FD: 3}},
		})
	case dtc.StatusDisk:
		r.Disk[0].UsedBytes, r.Disk[0].AvailableBytes, r.Disk[0].UsedPercent = 1<<29, 1<<29, 51
		r.Disk = append(r.Disk, dtc.Disk{Filesystem: "/dev/sdb1", Type: "ext4", TotalBytes: 1 << 40, MountedOn: "/mnt/new"})
	case dtc.StatusUsers:
		r.Users = append(r.Users, dtc.User{Name: "bob", Line: "pts/1", LoginAt: now, From: "new"})
	case dtc.StatusServices:
		r.Services = append(r.Services, dtc.Service{Name: "new.service", Load: "loaded", State: "failed", SubState: "failed", Since: now, PID: dtc.Absent, Description: "x"})
	case dtc.StatusInterfaces:
		r.Interfaces[0].RX.Bytes = 1 << 40
		r.Interfaces = append(r.Interfaces, dtc.Interface{Index: 2, Name: "new0", Flags: "UP", State: "UP", LinkType: "ether"})
	default: // no rows
	}
	return r
}

func TestNewRowsAreMarked(t *testing.T) {
	quiet := func(status dtc.Status) *dtc.Report {
		r := before(status)
		r.Host, r.Address = "web2", "10.0.0.8:7701"
		return r
	}
	forms := map[string]render.Options{
		"tool": {}, "bold": {Color: true}, "flat": {Flat: true}, "human": {Human: true},
	}
	for _, s := range dtc.Statuses() {
		for name, opt := range forms {
			t.Run(fmt.Sprintf("%s %s", s.Status, name), func(t *testing.T) {
				m := newMarker(s.Status, false)
				if got := markedOf(t, m, opt, before(s.Status), quiet(s.Status)); got != nil {
					t.Errorf("in the first round: %q", got)
				}
				old, now := before(s.Status), after(s.Status)
				want := len(now.Process) + len(now.OpenFiles) + len(now.Sockets) + len(now.Disk) + len(now.Users) + len(now.Services) + len(now.Interfaces) -
					len(old.Process) - len(old.OpenFiles) - len(old.Sockets) - len(old.Disk) - len(old.Users) - len(old.Services) - len(old.Interfaces)
				if s.Status == dtc.StatusProcess {
					want++ // one is gone, and another has its pid
				}
				got := markedOf(t, m, opt, now, quiet(s.Status))
				for _, line := range got {
					if !strings.Contains(line, "new") {
						t.Errorf("marked: %q", line)
					}
				}
				if len(got) != want {
					t.Errorf("%d rows are marked, want %d: %q", len(got), want, got)
				}
				if got := markedOf(t, m, opt, after(s.Status), quiet(s.Status)); got != nil {
					t.Errorf("a round later: %q", got)
				}
			})
		}
	}
}

// A host that did not answer for a while has what is new since it did last; one
// that never answered has nothing.
func TestMarksOfHostsThatComeBack(t *testing.T) {
	for _, opt := range []render.Options{{}, {Flat: true}} {
		m := newMarker(dtc.StatusProcess, false)
		lost := &dtc.Report{Host: "web1", Status: dtc.StatusProcess, Err: errors.New("gone")}
		other := before(dtc.StatusProcess)
		other.Host = "web2"
		for i, reports := range [][]*dtc.Report{
			{before(dtc.StatusProcess), lost}, {lost, lost}, {after(dtc.StatusProcess), other},
		} {
			got := markedOf(t, m, opt, reports...)
			if i < 2 && got != nil || i == 2 && len(got) != 2 {
				t.Errorf("round %d: %q", i, got)
			}
		}
	}
}

// Columns that do not tell the rows apart, or no titles: nothing is marked.
func TestNoMarksWithoutIdentity(t *testing.T) {
	for want, opt := range map[int]render.Options{
		0: {Fields: []string{"user", "rss_bytes"}},
		2: {Fields: []string{"rss_bytes", "started_at", "pid"}},
	} {
		m := newMarker(dtc.StatusProcess, false)
		markedOf(t, m, opt, before(dtc.StatusProcess))
		if got := markedOf(t, m, opt, after(dtc.StatusProcess)); len(got) != want {
			t.Errorf("%v: %q", opt.Fields, got)
		}
	}
	m := newMarker(dtc.StatusProcess, true)
	markedOf(t, m, render.Options{NoHeader: true}, before(dtc.StatusProcess))
	if got := markedOf(t, m, render.Options{NoHeader: true}, after(dtc.StatusProcess)); got != nil {
		t.Errorf("without titles: %q", got)
	}
}

func TestPageIsBounded(t *testing.T) {
	p := &page{marks: newMarker(dtc.StatusProcess, false)}
	long := strings.Repeat("x", 3*maxPageLine)
	for i := range maxPageLines + 7 {
		fmt.Fprintf(p, "%s %d", long[:i%2*len(long)], i)
		fmt.Fprint(p, "\n")
	}
	if p.more != 7 || strings.Count(p.text.String(), "\n") != maxPageLines || p.text.Len() > maxPageLines*maxPageLine {
		t.Errorf("%d lines more, %d bytes", p.more, p.text.Len())
	}
}

// Whatever a host puts into its rows, marking only adds marks.
func FuzzMarks(f *testing.F) {
	f.Add("process", "USER PID %CPU START COMMAND\nroot 1 0.0 07:15 x\n", "USER PID %CPU START COMMAND\nroot 2 0.0 07:15 ==> y\n")
	f.Add("openfiles", "COMMAND PID SIZE/OFF NAME\n漢\xff\n", "==> a <==\n\nSIZE/OFF NAME\n漢\n")
	f.Add("interfaces", "\x00\n1\n", "HOST NAME\n")
	f.Fuzz(func(t *testing.T, status, first, second string) {
		defer bounds.Alloc(t, len(status)+len(first)+len(second))()
		m := newMarker(dtc.Status(status), false)
		for _, text := range []string{first, second} {
			p := &page{marks: m}
			m.next()
			m.begin()
			fmt.Fprint(p, text)
			m.end()
			got := strings.NewReplacer(markRow, "", unmarkRow, "").Replace(p.text.String())
			want, _, _ := cutLast(text)
			if !strings.Contains(text, "\x1b[") && len(text) < maxPageLine && strings.Count(text, "\n") < maxPageLines && got != want {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
}

// cutLast returns the whole lines of text.
func cutLast(text string) (whole, rest string, ok bool) {
	i := strings.LastIndexByte(text, '\n')
	return text[:i+1], text[i+1:], i >= 0
}

// A picture in between, of some hosts, shows the marks of the last whole one, and
// what has come since the one before that.
func TestMarksBetweenWholePictures(t *testing.T) {
	m := newMarker(dtc.StatusProcess, false)
	picture := func(r *dtc.Report) int {
		t.Helper()
		p := &page{marks: m}
		m.begin()
		if err := render.Text(p, r, render.Options{}); err != nil {
			t.Fatal(err)
		}
		return strings.Count(p.text.String(), markRow)
	}
	whole := func(r *dtc.Report) int {
		m.next()
		defer m.end()
		return picture(r)
	}
	old, now := before(dtc.StatusProcess), after(dtc.StatusProcess)
	for i, got := range []int{picture(old), whole(old), picture(now), picture(old), whole(now), picture(now), whole(now), picture(now)} {
		if want := []int{0, 0, 0, 0, 2, 2, 0, 0}[i]; got != want {
			t.Errorf("picture %d has %d marks, want %d", i, got, want)
		}
	}
}

// A line that is too long is cut between two runes and two control sequences.
func TestPageCutsNothingInHalf(t *testing.T) {
	fill := strings.Repeat("x", maxPageLine-2)
	for in, want := range map[string]string{"漢": "", "xé": "x", "é": "é", "\x1b[1mx": "", "\xff\xff": "\xff\xff", "abc": "ab"} {
		p := &page{marks: newMarker(dtc.StatusProcess, false)}
		fmt.Fprint(p, fill+in+"\n")
		if got := strings.TrimPrefix(p.text.String(), fill); got != want+"\n" {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A row that looks like the title of a host begins none: else each picture could
// bring hosts that are remembered for good.
func TestMarksOfRowsLikeTitles(t *testing.T) {
	m := newMarker(dtc.StatusProcess, false)
	for i := range 3 {
		r := before(dtc.StatusProcess)
		for j := range r.Process {
			r.Process[j].User = fmt.Sprintf("==> %d-%d", i, j)
		}
		markedOf(t, m, render.Options{}, r)
	}
	m.next()
	if len(m.seen) != 1 {
		t.Errorf("%d hosts are remembered", len(m.seen))
	}
}

// What is remembered of all hosts together is bounded; of a host that was cut
// short no row is new.
func TestMarksOfAllHostsAreBounded(t *testing.T) {
	m := newMarker(dtc.StatusProcess, false)
	m.kept = maxMarkedAll - 2
	feed := func() (marks int) {
		for _, line := range []string{"==> web1 (10.0.0.7:7701) <==", "USER PID START COMMAND", "root 1 07:15 a", "root 2 07:15 b", "root 3 07:15 c"} {
			if m.isNew(line) {
				marks++
			}
		}
		return marks
	}
	feed()
	if m.kept != maxMarkedAll {
		t.Errorf("%d rows are counted", m.kept)
	}
	m.end()
	m.next()
	m.begin()
	if marks := feed(); marks != 0 || m.kept != 3 {
		t.Errorf("%d rows are new, %d counted", marks, m.kept)
	}
}
