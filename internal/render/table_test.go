package render

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"dtc"
)

// flat renders the reports as one table.
func flat(t *testing.T, opt Options, reports ...*dtc.Report) string {
	t.Helper()
	opt.Flat = true
	return string(documentOf(t, opt, reports...))
}

func at(hour, minute int) time.Time { return time.Date(2026, 11, 22, hour, minute, 1, 0, taipei) }

func TestFlatProcesses(t *testing.T) {
	long := process()
	long.PID, long.User, long.VSZBytes, long.Command = 12345678, "systemd-resolve", 12345678<<10, "漢字\x1b x"
	absent := dtc.Process{
		PID: 4, PPID: dtc.Absent, CPUPercent: math.NaN(), MemPercent: math.NaN(), VSZBytes: dtc.Absent,
		RSSBytes: dtc.Absent, CPUSeconds: math.NaN(), Threads: dtc.Absent,
	}
	a := &dtc.Report{Host: "漢", Status: dtc.StatusProcess, CollectedAt: at(7, 15), Process: []dtc.Process{process()}}
	b := &dtc.Report{Host: "web10\n", Status: dtc.StatusProcess, CollectedAt: at(7, 15), Process: []dtc.Process{long, absent}}
	for _, r := range []*dtc.Report{a, b} { // documentOf gives each in two parts, with the items in both
		r.Process = append(r.Process[:0:0], r.Process...)
	}
	got := flat(t, Options{}, a, failed("x", "y", "refused"), b)
	one := "漢      www-data             812  1.2  0.1    55180 5000 ?   Ss   07:00 1:01 nginx: master process /usr/sbin/nginx\n"
	two := "web10\\n systemd-resolve 12345678  1.2  0.1 12345678 5000 ?   Ss   07:00 1:01 漢字\\x1b x\n"
	three := "web10\\n -                      4    -    -        -    - -   -        -    - -\n"
	compare(t, got, "HOST    USER                 PID %CPU %MEM      VSZ  RSS TTY STAT START TIME COMMAND\n"+one+one+two+three+two+three)

	raw := flat(t, Options{Raw: true}, b)
	if !strings.Contains(raw, "web10\n ") || !strings.Contains(raw, "漢字\x1b x") {
		t.Errorf("raw: %q", raw)
	}
}

// table renders one report.
func table(t *testing.T, r *dtc.Report, opt Options) string {
	t.Helper()
	var b bytes.Buffer
	d := NewDocument(&b, r.Status, 1, opt)
	if err := d.Add(0, r); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sampleReport(status dtc.Status) *dtc.Report {
	r := &dtc.Report{Host: "web1", Address: "10.0.0.7:7701", Status: status, CollectedAt: at(7, 15)}
	switch status {
	case dtc.StatusProcess:
		r.Process = []dtc.Process{process()}
	case dtc.StatusOpenFiles:
		r.OpenFiles = []dtc.OpenFile{
			{PID: 12, User: "bob", Command: "long command", FD: "1023", Mode: "u", Lock: "W", Type: "REG", Device: "8,1", SizeBytes: 0, Offset: 7, Node: "5", Name: "/x y"},
			{PID: 812, User: "bob", Command: "a", FD: "3", Lock: "R", Type: "CHR", Device: "1,3", SizeBytes: dtc.Absent, Offset: 9, Node: "5", Name: "\x1b]漢"},
		}
	case dtc.StatusDisk:
		r.Disk = []dtc.Disk{{
			Filesystem: "/dev/sda1", Type: "ext4", TotalBytes: 10<<30 + 1, UsedBytes: 5<<30 + 100<<20, AvailableBytes: 999, UsedPercent: 51,
			MountedOn: "/mnt/a b", TotalInodes: 100, UsedInodes: 7, FreeInodes: 93,
		}, {
			Filesystem: "tmpfs", Type: "tmpfs", TotalBytes: dtc.Absent, UsedBytes: 0, AvailableBytes: 0, UsedPercent: math.NaN(), MountedOn: "/run",
			TotalInodes: dtc.Absent, UsedInodes: dtc.Absent, FreeInodes: dtc.Absent,
		}}
	case dtc.StatusInterfaces:
		r.Interfaces = []dtc.Interface{{
			Index: 2, Name: "eth0", Flags: "BROADCAST,UP", MTUBytes: 1500, State: "UP", Address: "02:00:00:00:00:01", QueueLen: 1000,
			RX: dtc.Traffic{Bytes: 123456789012, Packets: 12}, TX: dtc.Traffic{Bytes: 9, Packets: 8, Errors: 1, Dropped: 2},
		}, {Name: "tun0", State: "UNKNOWN", RX: dtc.Traffic{Bytes: dtc.Absent}}}
	case dtc.StatusSockets:
		r.Sockets = []dtc.Socket{{
			Protocol: "tcp", State: "ESTAB", SendQueue: 36, LocalAddress: "fe80::1%eth0", LocalPort: 22, RemoteAddress: "fe80::2", RemotePort: 51234,
			User: "root", Owners: []dtc.SocketOwner{{Name: "sshd", PID: 7, FD: 4}, {Name: "s\x1bd", PID: 9, FD: dtc.Absent}},
		}, {Protocol: "udp", State: "UNCONN", LocalAddress: "0.0.0.0", LocalPort: 68, RemoteAddress: "0.0.0.0", RemotePort: dtc.Absent}}
	case dtc.StatusUsers:
		r.Users = []dtc.User{
			{Name: "ann", Line: "pts/0", LoginAt: at(6, 5), From: "10.0.0.5", PID: 77},
			{Name: "bob", Line: "tty1", LoginAt: at(0, 0).UTC(), PID: dtc.Absent},
		}
	case dtc.StatusServices:
		r.Services = []dtc.Service{
			{Name: "ssh.service", Load: "loaded", State: "active", SubState: "running", Since: at(6, 5), PID: 77, Description: "OpenBSD Secure Shell server"},
			{Name: "x.service", Load: "not-found", State: "inactive", SubState: "dead", PID: dtc.Absent},
		}
	case dtc.StatusMemory:
		r.Memory = &dtc.Memory{
			TotalBytes: 8 << 30, UsedBytes: 3 << 30, FreeBytes: 1 << 30, SharedBytes: 10 << 20, BuffersBytes: 100 << 20,
			CachedBytes: 4 << 30, AvailableBytes: 5 << 30, SwapTotalBytes: 1 << 30, SwapUsedBytes: 0, SwapFreeBytes: dtc.Absent,
		}
	case dtc.StatusCPU:
		r.CPU = &dtc.CPU{
			Model: "Test CPU", LogicalCores: 2, PhysicalCores: dtc.Absent, Load1: 0.5, Load5: 0.25, Load15: 12.125, IntervalSeconds: 1,
			Percent: []dtc.CPUPercent{{CPU: "all", User: 1.5, System: 0.5, Steal: math.NaN(), Idle: 98}, {CPU: "0", Idle: 100}},
		}
	case dtc.StatusPlatform:
		r.Platform = &dtc.Platform{
			Hostname: "web1", OS: "Linux", Platform: "Debian GNU/Linux", PlatformVersion: "12 (bookworm)", Kernel: "6.1.0",
			KernelVersion: "#1 SMP", Arch: "x86_64", BootTime: at(6, 0), UptimeSeconds: 90061, Virtualization: "kvm",
		}
	}
	return r
}

// The tables that --flat makes of each status.
func TestFlatTables(t *testing.T) {
	for status, want := range map[dtc.Status]string{
		dtc.StatusOpenFiles: "" +
			"HOST COMMAND      PID USER FD     TYPE DEVICE SIZE/OFF NODE NAME\n" +
			"web1 long command  12 bob  1023uW REG  8,1           0 5    /x y\n" +
			"web1 a            812 bob  3-R    CHR  1,3         0t9 5    \\x1b]漢\n",
		dtc.StatusDisk: "" +
			"HOST Filesystem Type  1K-blocks    Used Available Use% Mounted on\n" +
			"web1 /dev/sda1  ext4   10485761 5345280         1  51% /mnt/a b\n" +
			"web1 tmpfs      tmpfs         -       0         0    - /run\n",
		dtc.StatusInterfaces: "" +
			"HOST NAME STATE    MTU ADDRESS               RX_BYTES RX_PACKETS RX_ERRORS RX_DROPPED TX_BYTES TX_PACKETS TX_ERRORS TX_DROPPED\n" +
			"web1 eth0 UP      1500 02:00:00:00:00:01 123456789012         12         0          0        9          8         1          2\n" +
			"web1 tun0 UNKNOWN    0 -                            -          0         0          0        0          0         0          0\n",
		dtc.StatusSockets: "" +
			"HOST Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n" +
			"web1 tcp   ESTAB       0     36 [fe80::1]%eth0:22  [fe80::2]:51234   users:((\"sshd\",pid=7,fd=4),(\"s\\x1bd\",pid=9))\n" +
			"web1 udp   UNCONN      0      0 0.0.0.0:68         0.0.0.0:*         -\n",
		dtc.StatusUsers: "" +
			"HOST NAME LINE  TIME             COMMENT\n" +
			"web1 ann  pts/0 2026-11-22 06:05 (10.0.0.5)\n" +
			"web1 bob  tty1  2026-11-22 00:00 -\n",
		dtc.StatusServices: "" +
			"HOST UNIT        LOAD      ACTIVE   SUB     MAINPID SINCE               DESCRIPTION\n" +
			"web1 ssh.service loaded    active   running      77 2026-11-22 06:05:01 OpenBSD Secure Shell server\n" +
			"web1 x.service   not-found inactive dead          - -                   -\n",
		dtc.StatusMemory: "" +
			"HOST   total    used    free shared buff/cache available swap-total swap-used swap-free\n" +
			"web1 8388608 3145728 1048576  10240    4296704   5242880    1048576         0         -\n",
		dtc.StatusCPU: "" +
			"HOST CPU %usr %nice %sys %iowait %irq %soft %steal %guest %gnice  %idle\n" +
			"web1 all 1.50  0.00 0.50    0.00 0.00  0.00      -   0.00   0.00  98.00\n" +
			"web1 0   0.00  0.00 0.00    0.00 0.00  0.00   0.00   0.00   0.00 100.00\n",
		dtc.StatusPlatform: "" +
			"HOST HOSTNAME OS    KERNEL ARCH   PLATFORM         VERSION           UPTIME\n" +
			"web1 web1     Linux 6.1.0  x86_64 Debian GNU/Linux 12 (bookworm) 1-01:01:01\n",
	} {
		t.Run(string(status), func(t *testing.T) {
			compare(t, table(t, sampleReport(status), Options{Flat: true}), want)
			_, rows, _ := strings.Cut(want, "\n")
			rest := table(t, sampleReport(status), Options{Flat: true, NoHeader: true})
			compare(t, strings.Join(strings.Fields(rest), " "), strings.Join(strings.Fields(rows), " "))
		})
	}
}

func TestChosenColumns(t *testing.T) {
	for _, tt := range []struct {
		status dtc.Status
		fields string
		opt    Options
		want   string
	}{
		{dtc.StatusProcess, "command threads", Options{}, "COMMAND                               THREADS\nnginx: master process /usr/sbin/nginx       1\n"},
		{dtc.StatusProcess, "rss_bytes name", Options{Flat: true}, "HOST  RSS NAME\nweb1 5000 nginx\n"},
		{dtc.StatusProcess, "threads pid", Options{NoHeader: true}, "1 812\n"},
		{dtc.StatusDisk, "total_bytes used_bytes available_bytes total_inodes used_inodes free_inodes", Options{Human: true}, "" +
			"Size Used Avail Inodes IUsed IFree\n 11G 5.1G   999    100     7    93\n   -    0     0      -     -     -\n"},
		{dtc.StatusMemory, "cached_bytes buffers_bytes", Options{Human: true}, "buff/cache buffers\n     4.1Gi   100Mi\n"},
		{dtc.StatusCPU, "load15 load1", Options{}, "LOAD15 LOAD1\n 12.12  0.50\n"},
		{dtc.StatusCPU, "idle load1", Options{}, " %idle LOAD1\n 98.00  0.50\n100.00  0.50\n"},
		{dtc.StatusSockets, "local_port local_address processes", Options{}, "" +
			"LOCAL_PORT LOCAL_ADDRESS Process\n        22 fe80::1%eth0  users:((\"sshd\",pid=7,fd=4),(\"s\\x1bd\",pid=9))\n        68 0.0.0.0       -\n"},
		{dtc.StatusPlatform, "boot_time kernel", Options{}, "BOOT_TIME           KERNEL\n2026-11-22 06:00:01 6.1.0\n"},

		{dtc.StatusProcess, "command pid", Options{Format: FormatCSV}, "host,command,pid\r\nweb1,nginx: master process /usr/sbin/nginx,812\r\n"},
		{dtc.StatusProcess, "pid", Options{Format: FormatCSV, NoHeader: true, Flat: true}, "web1,812\r\n"},
		{dtc.StatusCPU, "load1", Options{Format: FormatCSV}, "host,load1\r\nweb1,0.5\r\n"},
		{dtc.StatusCPU, "idle load1", Options{Format: FormatCSV}, "host,idle,load1\r\nweb1,98,0.5\r\nweb1,100,0.5\r\n"},
		{dtc.StatusSockets, "processes", Options{Format: FormatCSV}, "host,processes\r\n" +
			"web1,\"(\"\"sshd\"\",pid=7,fd=4),(\"\"s\x1bd\"\",pid=9)\"\r\nweb1,\r\n"},
	} {
		opt := tt.opt
		opt.Fields = strings.Fields(tt.fields)
		compare(t, table(t, sampleReport(tt.status), opt), tt.want)
	}
}

func TestChosenJSON(t *testing.T) {
	for _, tt := range []struct {
		status dtc.Status
		fields string
		want   string
	}{
		{dtc.StatusProcess, "command pid", `"process":[{"command":"nginx: master process /usr/sbin/nginx","pid":812}]`},
		{dtc.StatusMemory, "swap_free_bytes free_bytes", `"memory":{"free_bytes":1073741824}`},
		{dtc.StatusCPU, "load1", `"cpu":{"load1":0.5}`},
		{dtc.StatusCPU, "idle cpu load5 load1", `"cpu":{"load5":0.25,"load1":0.5,"percent":[{"idle":98,"cpu":"all"},{"idle":100,"cpu":"0"}]}`},
		{dtc.StatusCPU, "idle", `"cpu":{"percent":[{"idle":98},{"idle":100}]}`},
		{dtc.StatusSockets, "processes state", `"sockets":[` +
			`{"processes":[{"name":"sshd","pid":7,"fd":4},{"name":"s\u001bd","pid":9}],"state":"ESTAB"},{"processes":[],"state":"UNCONN"}]`},
	} {
		for _, format := range []Format{FormatJSON, FormatJSONL} {
			got := table(t, sampleReport(tt.status), Options{Format: format, Fields: strings.Fields(tt.fields), NoHeader: true})
			want := `{"host":"web1","address":"10.0.0.7:7701","collected_at":"2026-11-21T23:15:01Z",` + tt.want + "}\n"
			compare(t, strings.TrimSuffix(strings.TrimPrefix(got, "[\n"), "]\n"), want)
		}
	}
}

// An answer without items is an empty list, or titles alone.
func TestEmptyAnswers(t *testing.T) {
	for _, s := range dtc.Statuses() {
		if !isList(s.Status) {
			continue
		}
		r := &dtc.Report{Host: "h", Status: s.Status}
		if got := table(t, r, Options{Format: FormatJSONL}); !strings.HasSuffix(got, `"`+string(s.Status)+`":[]}`+"\n") {
			t.Errorf("%s: %q", s.Status, got)
		}
		if got := table(t, r, Options{Format: FormatCSV}); got != "host,"+strings.Join(dtc.FieldNames(s.Status), ",")+"\r\n" {
			t.Errorf("%s: %q", s.Status, got)
		}
		if got := table(t, r, Options{Flat: true}); !strings.HasPrefix(got, "HOST ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q", s.Status, got)
		}
		if got := table(t, r, Options{Flat: true, NoHeader: true}); got != "" {
			t.Errorf("%s: %q", s.Status, got)
		}
	}
	if got := flat(t, Options{}, failed("h", "a", "refused")); got != "" {
		t.Errorf("no host answered: %q", got)
	}
}

// Every title of a table can be given to --columns and --sort.
func TestTitlesAreNames(t *testing.T) {
	for _, s := range dtc.Statuses() {
		for _, human := range []bool{false, true} {
			opt := Options{Human: human, Fields: dtc.FieldNames(s.Status)}
			columns := tableColumns(s.Status, opt)
			if len(columns) != len(opt.Fields) {
				t.Errorf("%s: %d columns of %d fields", s.Status, len(columns), len(opt.Fields))
			}
			for _, c := range columns {
				if field, err := dtc.FieldNamed(s.Status, c.title); err != nil || field != c.field {
					t.Errorf("%s: the title %q of %s means %q: %v", s.Status, c.title, c.field, field, err)
				}
			}
		}
		for _, c := range tableColumns(s.Status, Options{Flat: true}) {
			if c.index < 0 && c.field != "host" && s.Status != dtc.StatusSockets {
				t.Errorf("%s: there is no field %s", s.Status, c.field)
			}
		}
	}
}

func TestNoHeader(t *testing.T) {
	for _, s := range dtc.Statuses() {
		with, without := text(t, sampleReport(s.Status), Options{}), text(t, sampleReport(s.Status), Options{NoHeader: true})
		_, rest, _ := strings.Cut(with, "\n")
		switch s.Status {
		case dtc.StatusProcess, dtc.StatusMemory, dtc.StatusOpenFiles, dtc.StatusSockets:
			compare(t, without, rest)
		case dtc.StatusDisk, dtc.StatusServices: // their columns can be narrower then
			compare(t, strings.Join(strings.Fields(without), " "), strings.Join(strings.Fields(rest), " "))
		case dtc.StatusCPU:
			if strings.Contains(without, "%usr") || !strings.Contains(without, "load average") || !strings.Contains(without, "98.00") {
				t.Errorf("%q", without)
			}
		default:
			compare(t, without, with)
		}
	}
}

// On a terminal the last column ends where the line does, or that of as many
// lines as the others take.
func TestTableOnTerminal(t *testing.T) {
	r := sampleReport(dtc.StatusProcess)
	r.Process[0].Command = "漢字漢字漢字漢字"
	for columns, want := range map[int]string{
		0: "PID COMMAND\n812 漢字漢字漢字漢字\n", 12: "PID COMMAND\n812 漢字漢字\n", 13: "PID COMMAND\n812 漢字漢字\n", 9: "PID COMMA\n812 漢字\n",
		7: "PID COM\n812 漢\n", 6: "PID COMMAND\n812 漢字漢字\n",
	} {
		compare(t, table(t, r, Options{Columns: columns, Fields: []string{"pid", "command"}}), want)
	}
}

func TestDiskHuman(t *testing.T) {
	for n, want := range map[int64]string{
		-1: "-", -2: "-2", -5 << 20: "-5.0M", math.MinInt64: "-0", 0: "0", 1: "1", 1023: "1023", 1024: "1.0K", 1025: "1.1K", 10 << 10: "10K", 10<<10 - 1: "10K", 9<<10 + 1: "9.1K", 10<<10 + 1: "11K",
		1<<20 - 1: "1.0M", 1023 << 10: "1023K", 1023<<10 + 1: "1.0M", 5 << 30: "5.0G", math.MaxInt64: "8.0E", 1 << 60: "1.0E",
	} {
		if got := string(appendBlocksHuman(nil, n)); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestElapsed(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "00:00", 61.9: "01:01", 3600: "01:00:00", 86400: "1-00:00:00", 1234567: "14-06:56:07", -1: "", math.Inf(1): "", 1e300: "",
	} {
		if got := string(showElapsed(nil, &value{number: seconds}, nil)); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}
