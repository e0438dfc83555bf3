package status

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"dtc"
)

func TestCompareNatural(t *testing.T) {
	sorted := []string{
		"", "/", "0", "1", "2", "9", "10", "a", "a1", "a1b", "a2", "a10", "a10.2", "a10.10", "a100000000000000000000", "a200000000000000000000", "b",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := compareNatural(a, b), cmpInt(i, j); got != want {
				t.Errorf("compareNatural(%q, %q) = %d", a, b, got)
			}
		}
	}
	if compareNatural("a01", "a1") != 0 || compareNatural("0", "00") != 0 {
		t.Error("zeros in front count")
	}
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func TestPathMatcher(t *testing.T) {
	for _, tt := range []struct {
		glob, path string
		want       bool
	}{
		{"/srv/{x}/*", "/srv/{x}/a", true},
		{"/srv/{a,b}", "/srv/a", false},
		{"/srv/{a,b}*", "/srv/{a,b}c", true},
		{"/srv/{a*", "/srv/{ab", true},
		{"/srv/[{a]*", "/srv/{b", true},
		{"/srv/[{a]*", "/srv/b", false},
		{"/**/}", "/a/b/}", true},
		{strings.Repeat("{a,a}", 800) + "*", strings.Repeat("a", 800), false}, // and soon
	} {
		if got := pathMatcher(tt.glob)(tt.path); got != tt.want {
			t.Errorf("%.30s fits %.30s: %t", tt.glob, tt.path, got)
		}
	}
}

// choose has a selection made of a report that comes in parts, and returns what
// came through.
func choose(tb testing.TB, s dtc.Selection, parts ...*dtc.Report) (got []*dtc.Report, err error) {
	tb.Helper()
	sel, err := New(Options{}).newSelector(&dtc.Query{Status: parts[0].Status, Selection: s})
	if err != nil {
		return nil, err
	}
	emit := sel.over(parts[0].Status, func(r *dtc.Report) error {
		kept := *r
		kept.Process, kept.OpenFiles = slices.Clone(r.Process), slices.Clone(r.OpenFiles)
		got = append(got, &kept)
		return nil
	})
	for i, part := range parts {
		part.Status, part.Partial = parts[0].Status, i < len(parts)-1
		if err := emit(part); err != nil {
			return got, err
		}
	}
	return got, nil
}

func TestWanted(t *testing.T) {
	const process, files, sockets = dtc.StatusProcess, dtc.StatusOpenFiles, dtc.StatusSockets
	reports := map[dtc.Status]*dtc.Report{
		process: {Process: []dtc.Process{
			{PID: 1, User: "root", Name: "init"}, {PID: 7, User: "www", Name: "kworker/0:1-events"}, {PID: 70, User: "www", Name: "nginx"},
		}},
		files: {OpenFiles: []dtc.OpenFile{
			{PID: 1, User: "root", Command: "sshd", Type: "REG", Name: "/var/log/a.log (deleted)"},
			{PID: 2, User: "root", Command: "sshd", Type: "REG", Name: "/srv/a (nfs:/a)"},
			{PID: 3, User: "root", Command: "sshd", Type: "unknown", Name: "/srv/b (stat: Permission denied)"},
			{PID: 4, User: "root", Command: "sshd", Type: "REG", Name: "/srv/c (2)"},
			{PID: 5, User: "root", Command: "sshd", Type: "unix", Name: "/run/d type=STREAM (CONNECTED)"},
			{PID: 6, User: "root", Command: "sshd", Type: "IPv4", Name: "10.0.0.1:22->10.0.0.9:40112 (ESTABLISHED)"},
			{PID: 7, User: "root", Command: "sshd", Type: "IPv6", Name: "*:22 (LISTEN)"},
			{PID: 8, User: "root", Command: "sshd", Type: "IPv6", Name: "[::1]:80->[::1]:22"},
			{PID: 9, User: "root", Command: "sshd", Type: "IPv4", Name: "*:*"},
			{PID: 10, User: "root", Command: "sshd", Type: "REG", Name: "/x:22"},
		}},
		sockets: {Sockets: []dtc.Socket{
			{LocalPort: 22, RemotePort: dtc.Absent, User: "root", Owners: []dtc.SocketOwner{{Name: "sshd", PID: 1}, {Name: "systemd", PID: 2}}},
			{LocalPort: 40000, RemotePort: 443, User: "www", Owners: []dtc.SocketOwner{{Name: "a-program-with-", PID: 3}}},
			{LocalPort: 53, RemotePort: dtc.Absent, User: "root"},
		}},
		dtc.StatusDisk: {Disk: []dtc.Disk{{MountedOn: "/"}, {MountedOn: "/srv"}, {MountedOn: "/srv/a/b"}}},
		dtc.StatusInterfaces: {Interfaces: []dtc.Interface{
			{Index: 1, Name: "lo"}, {Index: 2, Name: "eth0", AltNames: "enp0s1 ens1"}, {Index: 3, Name: "eth1"},
		}},
		dtc.StatusUsers:    {Users: []dtc.User{{Name: "root", PID: 1}, {Name: "anna", PID: 2}, {Name: "anna", PID: dtc.Absent}}},
		dtc.StatusServices: {Services: []dtc.Service{{Name: "ssh.service", PID: 1}, {Name: "cron.service", PID: dtc.Absent}}},
	}
	type sel = dtc.Selection
	for _, test := range []struct {
		status dtc.Status
		sel    sel
		want   string // numbers of the items
	}{
		{process, sel{PIDs: []int{70, 7, 9}}, "[1 2]"},
		{process, sel{Users: []string{"www", "nobody else"}}, "[1 2]"},
		{process, sel{Names: []string{"kworker*"}}, "[1]"},
		{process, sel{Names: []string{"/^k|^i/", "x"}}, "[0 1]"},
		{process, sel{Names: []string{"ngin"}}, "[]"},
		{process, sel{Names: []string{"n*"}, PIDs: []int{1}}, "[]"},
		{process, sel{Limit: 2}, "[0 1]"},
		{process, sel{Limit: 3}, "[0 1 2]"},
		{process, sel{Sort: "pid", Limit: 3}, "[0 1 2]"},
		{process, sel{Sort: "-pid", Limit: 2}, "[2 1]"},
		{process, sel{Sort: "-name", Users: []string{"www"}}, "[2 1]"},
		{files, sel{Paths: []string{"/var/log/a.log"}}, "[0]"},
		{files, sel{Paths: []string{"/srv/a", "/srv/b", "/srv/c"}}, "[1 2]"},
		{files, sel{Paths: []string{"/srv/c (2)", "/run/d"}}, "[3 4]"},
		{files, sel{Paths: []string{"/srv/*"}}, "[1 2 3]"},
		{files, sel{Paths: []string{"/var/*"}}, "[]"},
		{files, sel{Paths: []string{"/var/**"}}, "[0]"},
		{files, sel{Paths: []string{"/var"}}, "[]"},
		{files, sel{Ports: []int{22}}, "[5 6 7]"},
		{files, sel{Ports: []int{40112, 80}}, "[5 7]"},
		{files, sel{Ports: []int{22}, Paths: []string{"/**"}}, "[]"},
		{files, sel{Names: []string{"ssh?"}, PIDs: []int{3}}, "[2]"},
		{sockets, sel{Ports: []int{22, 443}}, "[0 1]"},
		{sockets, sel{PIDs: []int{2}}, "[0]"},
		{sockets, sel{PIDs: []int{2}, Names: []string{"sshd"}}, "[]"},
		{sockets, sel{PIDs: []int{2}, Names: []string{"systemd"}}, "[0]"},
		{sockets, sel{Names: []string{"s*"}}, "[0]"},
		{sockets, sel{Users: []string{"root"}}, "[0 2]"},
		{sockets, sel{Sort: "+local_port"}, "[0 2 1]"},
		{dtc.StatusDisk, sel{Paths: []string{"/srv"}}, "[1]"},
		{dtc.StatusDisk, sel{Paths: []string{"/srv/**"}}, "[1 2]"},
		{dtc.StatusInterfaces, sel{Names: []string{"eth*"}}, "[1 2]"},
		{dtc.StatusInterfaces, sel{Names: []string{"ens1"}}, "[1]"},
		{dtc.StatusInterfaces, sel{Sort: "-name", Limit: 2}, "[0 2]"},
		{dtc.StatusUsers, sel{Users: []string{"anna"}}, "[1 2]"},
		{dtc.StatusUsers, sel{PIDs: []int{2}}, "[1]"},
		{dtc.StatusServices, sel{Names: []string{"ssh"}}, "[0]"},
		{dtc.StatusServices, sel{Names: []string{"*.service"}, Sort: "name"}, "[1 0]"},
		{dtc.StatusServices, sel{PIDs: []int{1}}, "[0]"},
	} {
		report := *reports[test.status]
		report.Status = test.status
		parts, err := choose(t, test.sel, &report)
		if err != nil || len(parts) != 1 || parts[0].Partial {
			t.Errorf("%s %+v: %d parts, %v", test.status, test.sel, len(parts), err)
			continue
		}
		if got := fmt.Sprint(numbers(&report, parts[0])); got != test.want {
			t.Errorf("%s %+v: %s, want %s", test.status, test.sel, got, test.want)
		}
	}
}

// numbers returns where in all the items of part are.
func numbers(all, part *dtc.Report) []int {
	return slices.Concat(
		places(all.Process, part.Process), places(all.OpenFiles, part.OpenFiles), places(all.Disk, part.Disk),
		places(all.Interfaces, part.Interfaces), places(all.Sockets, part.Sockets), places(all.Users, part.Users), places(all.Services, part.Services))
}

func places[T any](all, part []T) []int {
	var is []int
	for _, item := range part {
		is = append(is, slices.IndexFunc(all, func(other T) bool { return fmt.Sprint(other) == fmt.Sprint(item) }))
	}
	return is
}

func TestSelectionsThatMakeNoSense(t *testing.T) {
	c := New(Options{})
	for _, q := range []dtc.Query{
		{Status: dtc.StatusMemory, Selection: dtc.Selection{Limit: 1}},
		{Status: dtc.StatusProcess, Selection: dtc.Selection{Ports: []int{1}}},
		{Status: dtc.StatusProcess, Selection: dtc.Selection{Sort: "nonsense"}},
		{Status: dtc.StatusProcess, Selection: dtc.Selection{Names: []string{"/(/"}}},
		{Status: dtc.StatusProcess, Selection: dtc.Selection{Names: []string{"["}}},
		{Status: dtc.StatusSockets, Selection: dtc.Selection{Sort: "processes"}},
		{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Limit: -1}},
		{Status: "nonsense", Selection: dtc.Selection{Limit: 1}},
	} {
		err := c.Get(t.Context(), q, func(*dtc.Report) error { return errors.New("there is an answer") })
		if dtc.KindOf(err) != dtc.KindInvalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// inParts splits processes into parts of the given size, with a note in each.
func inParts(all []dtc.Process, size int) []*dtc.Report {
	var parts []*dtc.Report
	for part := range slices.Chunk(all, size) {
		parts = append(parts, &dtc.Report{Status: dtc.StatusProcess, Process: part, PIDWidth: 7, Notes: []string{fmt.Sprint("note ", len(parts))}})
	}
	return append(parts, &dtc.Report{Status: dtc.StatusProcess, PIDWidth: 7, Notes: []string{"the last"}})
}

func manyProcesses(n int) []dtc.Process {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]dtc.Process, n)
	for i := range all {
		all[i] = dtc.Process{PID: i + 1, Name: fmt.Sprint("p", random.IntN(50)), RSSBytes: int64(random.IntN(300)) - 1, CPUPercent: float64(random.IntN(90))}
		if i%7 == 0 {
			all[i].CPUPercent, all[i].Name = math.NaN(), ""
		} else {
			all[i].StartedAt = time.Unix(int64(random.IntN(100)), 0)
		}
	}
	return all
}

func TestSortIsThatOfTheWholeList(t *testing.T) {
	all := manyProcesses(5000)
	less := map[string]func(a, b *dtc.Process) int{
		"pid":  func(a, b *dtc.Process) int { return cmpInt(a.PID, b.PID) },
		"-pid": func(a, b *dtc.Process) int { return -cmpInt(a.PID, b.PID) },
		"rss":  func(a, b *dtc.Process) int { return -cmpInt(int(a.RSSBytes), int(b.RSSBytes)) },
		"+rss": func(a, b *dtc.Process) int {
			return last(a.RSSBytes < 0, b.RSSBytes < 0, cmpInt(int(a.RSSBytes), int(b.RSSBytes)))
		},
		"%cpu": func(a, b *dtc.Process) int {
			return last(a.CPUPercent != a.CPUPercent, b.CPUPercent != b.CPUPercent, -cmpInt(int(a.CPUPercent), int(b.CPUPercent)))
		},
		"-name": func(a, b *dtc.Process) int { return last(a.Name == "", b.Name == "", -compareNatural(a.Name, b.Name)) },
		"+name": func(a, b *dtc.Process) int { return last(a.Name == "", b.Name == "", compareNatural(a.Name, b.Name)) },
		"-started_at": func(a, b *dtc.Process) int {
			return last(a.StartedAt.IsZero(), b.StartedAt.IsZero(), -a.StartedAt.Compare(b.StartedAt))
		},
		"start": func(a, b *dtc.Process) int {
			return last(a.StartedAt.IsZero(), b.StartedAt.IsZero(), a.StartedAt.Compare(b.StartedAt))
		},
		"user":         func(a, b *dtc.Process) int { return 0 }, // nobody knows any
		"+cpu_seconds": func(a, b *dtc.Process) int { return 0 },
	}
	for field, compare := range less {
		want := slices.Clone(all)
		slices.SortStableFunc(want, func(a, b dtc.Process) int { return compare(&a, &b) })
		for _, limit := range []int{0, 1, 2, 17, 1000, 4999, 5000, 9999} {
			parts, err := choose(t, dtc.Selection{Sort: field, Limit: limit}, inParts(all, 300)...)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for i, part := range parts {
				if len(part.Process) > partItems || part.Partial != (i < len(parts)-1) || part.PIDWidth != 7 {
					t.Errorf("part %d: %d items, partial %v", i, len(part.Process), part.Partial)
				}
				got = append(got, pidsOf(part)...)
			}
			n := len(all)
			if limit > 0 {
				n = min(n, limit)
			}
			if !slices.Equal(got, pidsOf(&dtc.Report{Process: want[:n]})) {
				t.Errorf("--sort %s --limit %d is wrong", field, limit)
			}
			if len(parts[0].Notes) != 18 {
				t.Errorf("%d notes", len(parts[0].Notes))
			}
		}
	}
}

// last puts what is absent behind what is not.
func last(absentA, absentB bool, otherwise int) int {
	switch {
	case absentA == absentB && absentA:
		return 0
	case absentA:
		return 1
	case absentB:
		return -1
	default:
		return otherwise
	}
}

func pidsOf(r *dtc.Report) []int {
	var pids []int
	for _, p := range r.Process {
		pids = append(pids, p.PID)
	}
	return pids
}

func TestLimitEndsTheAnswer(t *testing.T) {
	all := manyProcesses(100)
	parts, err := choose(t, dtc.Selection{Limit: 25}, inParts(all, 10)...)
	if !errors.Is(err, errEnough) || len(parts) != 3 || parts[1].Partial == false || parts[2].Partial || len(parts[2].Process) != 5 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	// The limit is reached with the last item of a part, and of the whole.
	parts, err = choose(t, dtc.Selection{Limit: 20}, inParts(all, 10)...)
	if !errors.Is(err, errEnough) || len(parts) != 2 || parts[1].Partial {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	parts, err = choose(t, dtc.Selection{Limit: 100}, inParts(all, 100)[0])
	if err != nil || len(parts) != 1 || parts[0].Partial || len(parts[0].Process) != 100 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
}

// Parts of which nothing is wanted are not sent; what they had to say is.
func TestEmptyPartsAreKept(t *testing.T) {
	parts, err := choose(t, dtc.Selection{PIDs: []int{45}}, inParts(manyProcesses(100), 10)...)
	if err != nil || len(parts) != 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if !slices.Equal(pidsOf(parts[0]), []int{45}) || len(parts[0].Notes) != 5 || len(parts[1].Process) != 0 || len(parts[1].Notes) != 6 {
		t.Errorf("%v %q, %v %q", pidsOf(parts[0]), parts[0].Notes, pidsOf(parts[1]), parts[1].Notes)
	}
	parts, err = choose(t, dtc.Selection{PIDs: []int{1000}}, inParts(manyProcesses(100), 10)...)
	if err != nil || len(parts) != 1 || parts[0].Partial || len(parts[0].Process) != 0 || len(parts[0].Notes) != 11 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
}

// What the sorter keeps is its own: the memory of a part is used again.
func TestSortedItemsAreKept(t *testing.T) {
	memory := []byte("first")
	text := unsafe.String(&memory[0], len(memory))
	file := dtc.OpenFile{User: text, Command: text, FD: text, Mode: text, Lock: text, Type: text, Device: text, Node: text, Name: text}
	process := dtc.Process{User: text, TTY: text, State: text, Name: text, Command: text}
	for _, parts := range [][]*dtc.Report{
		{{Status: dtc.StatusOpenFiles, OpenFiles: []dtc.OpenFile{file}}, {}},
		{{Status: dtc.StatusProcess, Process: []dtc.Process{process}}, {}},
	} {
		copy(memory, "first")
		want := fmt.Sprintf("%+v", *parts[0])
		sel, err := New(Options{}).newSelector(&dtc.Query{Status: parts[0].Status, Selection: dtc.Selection{Sort: "name"}})
		if err != nil {
			t.Fatal(err)
		}
		emit := sel.over(parts[0].Status, func(r *dtc.Report) error {
			if got := fmt.Sprintf("%+v", *r); got != strings.Replace(want, "Partial:true", "Partial:false", 1) {
				t.Errorf("got %s\nwant %s", got, want)
			}
			return nil
		})
		parts[0].Partial = true
		if err := emit(parts[0]); err != nil {
			t.Fatal(err)
		}
		copy(memory, "again")
		clear(parts[0].Process)
		clear(parts[0].OpenFiles)
		parts[1].Status = parts[0].Status
		if err := emit(parts[1]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooMuchToSort(t *testing.T) {
	part := &dtc.Report{Status: dtc.StatusProcess, Partial: true}
	for i := range 1000 {
		part.Process = append(part.Process, dtc.Process{PID: i, Command: strings.Repeat("x", 100_000)})
	}
	feed := func(s dtc.Selection) (err error) {
		sel, err := New(Options{}).newSelector(&dtc.Query{Status: dtc.StatusProcess, Selection: s})
		if err != nil {
			t.Fatal(err)
		}
		emit := sel.over(dtc.StatusProcess, func(*dtc.Report) error { return nil })
		for range 5 {
			if err := emit(part); err != nil {
				return err
			}
		}
		return nil
	}
	if err := feed(dtc.Selection{Sort: "pid"}); dtc.KindOf(err) != dtc.KindInvalid || !strings.Contains(err.Error(), "--limit") {
		t.Errorf("all: %v", err)
	}
	if err := feed(dtc.Selection{Sort: "-pid", Limit: 500}); err != nil {
		t.Errorf("500: %v", err)
	}
	if err := feed(dtc.Selection{Sort: "-pid", Limit: 1000}); dtc.KindOf(err) != dtc.KindInvalid {
		t.Errorf("1000: %v", err)
	}
}

// What has no selection is passed on as it is.
func TestNoSelectionCostsNothing(t *testing.T) {
	c := New(Options{})
	q := dtc.Query{Status: dtc.StatusProcess}
	if n := testing.AllocsPerRun(100, func() {
		if sel, err := c.newSelector(&q); sel != nil || err != nil {
			t.Error("there is a selector")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *selector
	all := []int{1, 2}
	if got := none.pids(all); &got[0] != &all[0] {
		t.Error("pids are copied")
	}
}

// The parts of a long answer are picked without an allocation for each item.
func BenchmarkPick(b *testing.B) {
	all := manyProcesses(5000)
	for _, s := range []dtc.Selection{
		{Names: []string{"p1*"}}, {Users: []string{"root"}}, {Limit: 5000}, {Sort: "rss", Limit: 10}, {Sort: "rss"}, {Sort: "command"},
	} {
		b.Run(fmt.Sprintf("%+v", s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sel, err := New(Options{}).newSelector(&dtc.Query{Status: dtc.StatusProcess, Selection: s})
				if err != nil {
					b.Fatal(err)
				}
				emit := sel.over(dtc.StatusProcess, func(*dtc.Report) error { return nil })
				for part := range slices.Chunk(all, 1000) {
					if err := emit(&dtc.Report{Process: part, Partial: part[0].PID < 4001}); err != nil && !errors.Is(err, errEnough) {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
