package render

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

var taipei = time.FixedZone("CST", 8*3600)

// text renders a whole report.
func text(t *testing.T, r *dtc.Report, opt Options) string {
	t.Helper()
	var b strings.Builder
	if err := Text(&b, r, opt); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		x, y := "(none)", "(none)"
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			t.Errorf("line %d:\n got %q\nwant %q", i+1, x, y)
		}
	}
}

func TestPSStart(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 15, 1, 0, taipei)
	for _, tt := range []struct {
		started time.Time
		want    string
	}{
		{now, "07:15"},
		{now.Add(time.Minute), "07:16"}, // a clock that was set
		{time.Date(2026, 11, 22, 0, 0, 0, 0, taipei), "00:00"},
		{time.Date(2026, 11, 21, 23, 59, 59, 0, taipei), "Nov21"}, // eight hours ago, but yesterday
		{time.Date(2026, 1, 2, 3, 4, 5, 0, taipei), "Jan02"},
		{time.Date(2025, 11, 22, 7, 15, 1, 0, taipei), "2025"},
		{time.Date(2025, 12, 31, 23, 59, 59, 0, taipei), "2025"},
		{time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC), "00:00"}, // the host's zone decides
		{time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("summer", 9*3600)), "Mar01"},
		{time.Time{}, "-"},
		{time.Date(99999, 1, 1, 0, 0, 0, 0, taipei), "-"},
	} {
		if got := string(appendPSStart(nil, tt.started, now)); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.started, got, tt.want)
		}
	}
}

func TestPSTime(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0:00", 0.99: "0:00", 59.999: "0:59", 60: "1:00", 3600: "60:00", 359999.5: "5999:59",
		-1: "-", math.Inf(1): "-", 1e300: "-",
	} {
		if got := string(appendPSTime(nil, seconds)); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
	if got := string(appendPSTime(nil, math.NaN())); got != "-" {
		t.Error(got)
	}
}

func TestPSPercent(t *testing.T) {
	for percent, want := range map[float64]string{
		0: "0.0", 0.09: "0.0", 0.1: "0.1", 2.9: "2.9", 9.99: "9.9", 99.99: "99.9", 100: "100", 101.9: "101", 6400.7: "6400",
		math.Inf(1): "-", -3: "-", 1e300: "214748364",
	} {
		if got := string(appendPSPercent(nil, percent, math.MaxInt32)); got != want {
			t.Errorf("%v: %q, want %q", percent, got, want)
		}
	}
	if got := string(appendPSPercent(nil, 100, 999)); got != "99.9" {
		t.Errorf("memory: %q", got)
	}
	// ps computes in integers: 1000 * ticks / all.
	for ticks := range uint64(1001) {
		for _, all := range []uint64{1, 7, 1000, 999, 12345} {
			want := string(appendPSPercent(nil, float64(ticks*1000/all)/10, math.MaxInt32))
			if got := string(appendPSPercent(nil, 100*float64(ticks)/float64(all), math.MaxInt32)); got != want {
				t.Fatalf("%d of %d: %s, want %s", ticks, all, got, want)
			}
		}
	}
}

func process() dtc.Process {
	return dtc.Process{
		PID: 812, PPID: 1, User: "www-data", CPUPercent: 1.25, MemPercent: 0.1, VSZBytes: 55180 << 10, RSSBytes: 5000 << 10,
		TTY: "?", State: "Ss", StartedAt: time.Date(2026, 11, 22, 7, 0, 0, 0, taipei), CPUSeconds: 61,
		Name: "nginx", Command: "nginx: master process /usr/sbin/nginx", Threads: 1,
	}
}

func TestProcessText(t *testing.T) {
	absent := dtc.Process{
		PID: 4, PPID: dtc.Absent, CPUPercent: math.NaN(), MemPercent: math.NaN(), VSZBytes: dtc.Absent,
		RSSBytes: dtc.Absent, CPUSeconds: math.NaN(), Threads: dtc.Absent,
	}
	long := process()
	long.PID, long.User, long.VSZBytes, long.RSSBytes = 12345678, "systemd-resolve", 12345678<<10, 1234567<<10
	hostile := process()
	hostile.User, hostile.TTY, hostile.State, hostile.Command = "\x1b[2J", "\u202e", "\x07", "\u202eevil\xff\n漢\x1b]0;x\x07"
	r := &dtc.Report{
		Status: dtc.StatusProcess, CollectedAt: time.Date(2026, 11, 22, 7, 15, 1, 0, taipei),
		Process: []dtc.Process{process(), absent, long, hostile},
	}
	const header = "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n"
	compare(t, text(t, r, Options{}), header+
		"www-data     812  1.2  0.1  55180  5000 ?        Ss   07:00   1:01 nginx: master process /usr/sbin/nginx\n"+
		"-              4    -    -      -     - -        -        -      - -\n"+
		"systemd+ 12345678  1.2  0.1 12345678 1234567 ?   Ss   07:00   1:01 nginx: master process /usr/sbin/nginx\n"+
		"?[2J         812  1.2  0.1  55180  5000 ?        ?    07:00   1:01 ?evil??漢?]0;x?\n")
	raw := text(t, r, Options{Raw: true})
	if !strings.Contains(raw, "\x1b[2J") || !strings.Contains(raw, "\u202eevil\xff\n漢\x1b]0;x\x07") {
		t.Errorf("raw: %q", raw)
	}
}

func TestProcessInParts(t *testing.T) {
	var got bytes.Buffer
	d := NewDocument(&got, dtc.StatusProcess, 1, Options{})
	for i := range 3 {
		part := &dtc.Report{Status: dtc.StatusProcess, Process: []dtc.Process{process()}, Partial: i < 2}
		if err := d.Add(0, part); err != nil {
			t.Fatal(err)
		}
		if part.Partial && got.Len() > 0 {
			t.Error("something was written before the answer was whole")
		}
	}
	if n := strings.Count(got.String(), "USER"); n != 1 {
		t.Errorf("%d headers in %q", n, got.String())
	}
	if n := strings.Count(got.String(), "\n"); n != 4 {
		t.Errorf("%d lines in %q", n, got.String())
	}
}

func TestLsofText(t *testing.T) {
	files := []dtc.OpenFile{
		{PID: 7, User: "a", Command: "", FD: "NOFD", SizeBytes: dtc.Absent, Offset: dtc.Absent, Name: "/proc/7/fd (x)"},
		{PID: 12, User: "bob", Command: "a b", FD: "1023", Mode: "u", Lock: "W", Type: "REG", Device: "8,1", SizeBytes: 0, Offset: 7, Node: "5", Name: "/x"},
		{PID: 12, User: "bob", Command: "a b", FD: "3", Lock: "R", Type: "CHR", Device: "1,3", SizeBytes: dtc.Absent, Offset: 99999999, Node: "5", Name: "\x1b]漢"},
		{PID: 12, User: "bob", Command: "a b", FD: "4", Mode: "r", Type: "CHR", Device: "1,3", SizeBytes: dtc.Absent, Offset: 100000000, Node: "5", Name: "n"},
	}
	r := &dtc.Report{Status: dtc.StatusOpenFiles, OpenFiles: files}
	compare(t, text(t, r, Options{}), ""+
		"COMMAND   PID USER   FD   TYPE DEVICE   SIZE/OFF NODE NAME\n"+
		"(unknown)   7    a NOFD                               /proc/7/fd (x)\n"+
		"a\\x20b     12  bob 1023uW  REG    8,1          0    5 /x\n"+
		"a\\x20b     12  bob    3-R  CHR    1,3 0t99999999    5 ^[]漢\n"+
		"a\\x20b     12  bob    4r   CHR    1,3  0x5f5e100    5 n\n")
}

func TestUptimeText(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 5, 9, 0, taipei)
	for _, tt := range []struct {
		seconds float64
		users   int
		want    string
	}{
		{0, 0, " 07:05:09 up 0 min,  0 user,  load average: 0.00, 1.50, 12.35\n"},
		{59 * 60, 1, " 07:05:09 up 59 min,  1 user,  load average: 0.00, 1.50, 12.35\n"},
		{3600, 2, " 07:05:09 up  1:00,  2 users,  load average: 0.00, 1.50, 12.35\n"},
		{86400 + 61, 12, " 07:05:09 up 1 day, 1 min, 12 users,  load average: 0.00, 1.50, 12.35\n"},
		{400*86400 + 11*3600 + 120, dtc.Absent, " 07:05:09 up 400 days, 11:02, ? users,  load average: 0.00, 1.50, 12.35\n"},
		{math.NaN(), 0, " 07:05:09 up -,  0 user,  load average: 0.00, 1.50, 12.35\n"},
	} {
		c := &dtc.CPU{UptimeSeconds: tt.seconds, Users: tt.users, Load1: 0, Load5: 1.5, Load15: 12.351}
		if got := string(appendUptime(nil, c, now)); got != tt.want {
			t.Errorf("%v:\n got %q\nwant %q", tt.seconds, got, tt.want)
		}
	}
}

func TestCPUTextWithoutFigures(t *testing.T) {
	nan := math.NaN()
	r := &dtc.Report{
		Status: dtc.StatusCPU, CollectedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, taipei),
		CPU: &dtc.CPU{
			LogicalCores: dtc.Absent, Load1: nan, Load5: nan, Load15: nan, UptimeSeconds: nan, Users: dtc.Absent, IntervalSeconds: 1,
			OS: "Windows_NT", Kernel: "10.0.20348", Hostname: "w\x1bx", Arch: "x86_64",
			Percent: []dtc.CPUPercent{{
				CPU: "all", User: 1, Nice: nan, System: 2, IOWait: nan, IRQ: nan, SoftIRQ: nan, Steal: nan, Guest: nan, GuestNice: nan, Idle: 97,
			}},
		},
	}
	const table = "     CPU    %usr   %nice    %sys %iowait    %irq   %soft  %steal  %guest  %gnice   %idle\n"
	const figures = "     all    1.00       -    2.00       -       -       -       -       -       -   97.00\n"
	compare(t, text(t, r, Options{}), ""+
		" 00:00:00 up -, ? users,  load average: -, -, -\n"+
		"Windows_NT 10.0.20348 (w\\x1bx) \t01/02/26 \t_x86_64_\t(- CPU)\n"+
		"\n23:59:59"+table+"00:00:00"+figures+
		"\nAverage:"+table+"Average:"+figures)
}

func TestPlatformText(t *testing.T) {
	r := &dtc.Report{
		Status: dtc.StatusPlatform, CollectedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, taipei),
		Platform: &dtc.Platform{
			Hostname: "web1", OS: "Linux", Platform: "Debian GNU/Linux", PlatformVersion: "12 (bookworm)", Kernel: "6.1.0-9-amd64",
			KernelVersion: "#1 SMP", Arch: "x86_64", BootTime: time.Date(2025, 12, 31, 16, 0, 0, 0, time.UTC),
			UptimeSeconds: 86400, Virtualization: "kvm", OperatingSystem: "GNU/Linux",
		},
	}
	compare(t, text(t, r, Options{}), ""+
		"Linux web1 6.1.0-9-amd64 #1 SMP x86_64 GNU/Linux\n"+
		" Static hostname: web1\n"+
		"  Virtualization: kvm\n"+
		"Operating System: Debian GNU/Linux 12 (bookworm)\n"+
		"          Kernel: Linux 6.1.0-9-amd64\n"+
		"    Architecture: x86-64\n"+
		"       Boot Time: Thu 2026-01-01 00:00:00 CST\n"+
		"          Uptime: 1 day, 0 min\n")
	r.Platform = &dtc.Platform{Hostname: "a\nb", OS: "Darwin", Arch: "arm64", Virtualization: "none", UptimeSeconds: math.NaN()}
	compare(t, text(t, r, Options{}), ""+
		"Darwin a\\nb arm64\n"+
		"Static hostname: a\\nb\n"+
		"         Kernel: Darwin\n"+
		"   Architecture: arm64\n")
}

// hostileReport is a report whose every text is s and every figure n or x.
func hostileReport(status dtc.Status, s string, n int64, x float64) *dtc.Report {
	at := time.Unix(n, 0)
	return &dtc.Report{
		Host: s, Address: s, CollectedAt: at, Status: status, PIDWidth: int(n),
		Process: []dtc.Process{{
			PID: int(n), PPID: int(n), User: s, CPUPercent: x, MemPercent: x, VSZBytes: n, RSSBytes: n, TTY: s,
			State: s, StartedAt: at.Add(time.Duration(n)), CPUSeconds: x, Name: s, Command: s, Threads: int(n),
		}, {}},
		OpenFiles: []dtc.OpenFile{{
			PID: int(n), User: s, Command: s, FD: s, Mode: s, Lock: s, Type: s, Device: s, SizeBytes: n, Offset: n, Node: s, Name: s,
		}, {SizeBytes: dtc.Absent, Offset: n}},
		Disk: []dtc.Disk{{
			Filesystem: s, Type: s, TotalBytes: n, UsedBytes: n, AvailableBytes: n, UsedPercent: x, MountedOn: s,
			TotalInodes: n, UsedInodes: n, FreeInodes: n,
		}, {}},
		Interfaces: []dtc.Interface{{
			Index: int(n), Name: s, Lower: s, Flags: s, MTUBytes: n, Qdisc: s, Master: s, State: s, Mode: s, Group: s, QueueLen: n, LinkType: s,
			Address: s, Broadcast: s, Rest: s, AltNames: s, Alias: s, XDP: s, XDPPrograms: s, RX: dtc.Traffic{Bytes: n, Packets: n}, TX: dtc.Traffic{Bytes: n, Errors: n, Carrier: n},
		}, {}},
		Sockets: []dtc.Socket{{
			Protocol: s, State: s, ReceiveQueue: n, SendQueue: n, LocalAddress: s, LocalPort: int(n), RemoteAddress: s, RemotePort: int(n),
			User: s, Owners: []dtc.SocketOwner{{Name: s, PID: int(n), FD: int(n)}, {Name: s, PID: int(n), FD: dtc.Absent}},
		}, {}},
		Users:    []dtc.User{{Name: s, Line: s, LoginAt: at, From: s, PID: int(n)}, {}},
		Services: []dtc.Service{{Name: s, Load: s, State: s, SubState: s, Since: at, PID: int(n), Description: s}, {}},
		Memory:   &dtc.Memory{TotalBytes: n, BuffersBytes: n, CachedBytes: n, SwapFreeBytes: dtc.Absent},
		CPU: &dtc.CPU{
			Model: s, LogicalCores: int(n), Load1: x, IntervalSeconds: x, UptimeSeconds: x, Users: int(n),
			Hostname: s, OS: s, Kernel: s, Arch: s, Percent: []dtc.CPUPercent{{CPU: s, User: x, Idle: x}},
		},
		Platform: &dtc.Platform{
			Hostname: s, OS: s, Platform: s, PlatformVersion: s, Kernel: s, KernelVersion: s, Arch: s, BootTime: at,
			UptimeSeconds: x, Virtualization: s, OperatingSystem: s,
		},
	}
}

func FuzzText(f *testing.F) {
	f.Add("nginx", int64(812), 1.5, 80)
	f.Add("\x1b[2J\u202e\xff\u0085漢\r\n", int64(-1), math.NaN(), 1)
	f.Add("", int64(math.MaxInt64), math.Inf(1), 0)
	f.Add("a\tb\"c,d\\", int64(math.MinInt64), -1e300, 70)
	f.Fuzz(func(t *testing.T, s string, n int64, x float64, columns int) {
		defer bounds.Alloc(t, len(s))()
		for _, status := range append(dtc.Statuses(), dtc.StatusSummary{Status: dtc.Status("unheard")}) {
			r := hostileReport(status.Status, s, n, x)
			for _, format := range Formats() {
				opt := Options{Format: format, Terminal: true, Columns: columns % 500, Human: n%2 == 0}
				table := opt
				table.Fields, table.Flat, table.NoHeader = dtc.FieldNames(status.Status), n%3 == 0, n%5 == 0
				usual := opt
				usual.Flat = true
				for _, part := range [][]byte{
					documentOf(t, opt, r), documentOf(t, opt, r, r), documentOf(t, table, r, r), documentOf(t, usual, r, r),
				} {
					out := string(part)
					if format == FormatCSV {
						out = strings.ReplaceAll(out, "\r\n", "\n")
					}
					checkSafe(t, out)
				}
			}
		}
	})
}

// documentOf renders reports as the answers of as many hosts, each in two
// parts.
func documentOf(t *testing.T, opt Options, reports ...*dtc.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	d := NewDocument(&b, reports[0].Status, len(reports), opt)
	for i, r := range reports {
		first := *r
		first.Partial, first.Memory, first.CPU, first.Platform = true, nil, nil, nil
		if err := d.Add(i, &first); err != nil {
			t.Fatal(err)
		}
		if err := d.Add(i, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func benchReport(n int) *dtc.Report {
	r := &dtc.Report{Host: "web1", Address: "10.0.0.7:7701", CollectedAt: time.Date(2026, 11, 22, 7, 15, 1, 0, taipei)}
	for i := range n {
		p := process()
		p.PID = i
		r.Process = append(r.Process, p)
		r.OpenFiles = append(r.OpenFiles, dtc.OpenFile{
			PID: i, User: "www-data", Command: "nginx", FD: "12", Mode: "u", Type: "IPv4", Device: "31862",
			SizeBytes: dtc.Absent, Offset: 0, Node: "TCP", Name: "10.0.0.7:443->10.0.0.99:51234 (ESTABLISHED)",
		})
		r.Sockets = append(r.Sockets, dtc.Socket{
			Protocol: "tcp", State: "ESTAB", LocalAddress: "10.0.0.7", LocalPort: 443, RemoteAddress: "10.0.0.99", RemotePort: 51234,
			User: "www-data", Owners: []dtc.SocketOwner{{Name: "nginx", PID: i, FD: 12}},
		})
	}
	return r
}

func BenchmarkDocument(b *testing.B) {
	r := benchReport(5000)
	for _, status := range []dtc.Status{dtc.StatusProcess, dtc.StatusOpenFiles} {
		options := map[string]Options{"table": {Flat: true}, "fields": {Format: FormatJSON, Fields: []string{"name", "pid", "user"}}}
		for _, format := range Formats() {
			options[string(format)] = Options{Format: format}
		}
		for name, opt := range options {
			b.Run(string(status)+"/"+name, func(b *testing.B) {
				var all counter
				b.ReportAllocs()
				for b.Loop() {
					all = 0
					d := NewDocument(&all, status, 1, opt)
					if err := errors.Join(d.Add(0, r), d.Close()); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(int64(all))
			})
		}
	}
}

// counter counts the bytes that are written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
