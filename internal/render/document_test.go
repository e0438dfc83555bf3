package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

func memoryReport(host, address string) *dtc.Report {
	return &dtc.Report{
		Host: host, Address: address, Status: dtc.StatusMemory,
		CollectedAt: time.Date(2026, 11, 22, 7, 15, 1, 500e6, taipei),
		Memory: &dtc.Memory{
			TotalBytes: 8 << 30, UsedBytes: 1 << 30, FreeBytes: 2 << 30, SharedBytes: 0, BuffersBytes: dtc.Absent,
			CachedBytes: 3 << 30, AvailableBytes: 7 << 30, SwapTotalBytes: 0, SwapUsedBytes: 0, SwapFreeBytes: 0,
		},
	}
}

func failed(host, address, text string) *dtc.Report {
	return &dtc.Report{Host: host, Address: address, Err: errors.New(text)}
}

// add hands reports over in the order of the numbers, and returns what was
// written after each, and after Close.
func add(t *testing.T, opt Options, reports []*dtc.Report, order ...int) []string {
	t.Helper()
	var b bytes.Buffer
	var steps []string
	d := NewDocument(&b, dtc.StatusMemory, len(reports), opt)
	for _, i := range order {
		if err := d.Add(i, reports[i]); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, b.String())
		b.Reset()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return append(steps, b.String())
}

const freeText = "               total        used        free      shared  buff/cache   available\n" +
	"Mem:         8388608     1048576     2097152           0     3145728     7340032\n" +
	"Swap:              0           0           0\n"

func TestDocumentText(t *testing.T) {
	reports := []*dtc.Report{
		memoryReport("web1", "10.0.0.7:7701"), failed("web2", "10.0.0.8:7701", "refused"), memoryReport("w\x1b3", "10.0.0.9:7701"),
	}
	steps := add(t, Options{}, reports, 2, 1, 0)
	want := []string{"", "", "==> web1 (10.0.0.7:7701) <==\n" + freeText + "\n==> w\\x1b3 (10.0.0.9:7701) <==\n" + freeText, ""}
	compare(t, strings.Join(steps, "|"), strings.Join(want, "|"))

	steps = add(t, Options{Color: true}, reports[:2], 0, 1)
	compare(t, steps[0], "\x1b[1m==> web1 (10.0.0.7:7701) <==\x1b[0m\n"+freeText)

	steps = add(t, Options{}, reports[:1], 0)
	compare(t, steps[0], freeText)
}

func TestDocumentJSON(t *testing.T) {
	reports := []*dtc.Report{memoryReport("web1", "10.0.0.7:7701"), failed("web2", "10.0.0.8:7701", "no\x1b\n\"way\"")}
	one := `{"host":"web1","address":"10.0.0.7:7701","collected_at":"2026-11-21T23:15:01.5Z",` +
		`"memory":{"total_bytes":8589934592,"used_bytes":1073741824,"free_bytes":2147483648,"shared_bytes":0,` +
		`"cached_bytes":3221225472,"available_bytes":7516192768,"swap_total_bytes":0,"swap_used_bytes":0,"swap_free_bytes":0}}`
	two := `{"host":"web2","address":"10.0.0.8:7701","error":"no\u001b\n\"way\""}`

	steps := add(t, Options{Format: FormatJSON}, reports, 1, 0)
	compare(t, strings.Join(steps, "|"), "|[\n"+one+",\n"+two+"|\n]\n")
	steps = add(t, Options{Format: FormatJSONL}, reports, 1, 0)
	compare(t, strings.Join(steps, "|"), two+"\n|"+one+"\n|")
	steps = add(t, Options{Format: FormatJSON}, nil)
	compare(t, strings.Join(steps, "|"), "[]\n")
}

func TestDocumentDropsHalfAnswers(t *testing.T) {
	for _, format := range Formats() {
		var b bytes.Buffer
		d := NewDocument(&b, dtc.StatusProcess, 1, Options{Format: format})
		part := &dtc.Report{Host: "h", Partial: true, Process: []dtc.Process{process()}}
		for _, r := range []*dtc.Report{part, failed("h", "a", "cut"), part} {
			if err := d.Add(0, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "nginx") {
			t.Errorf("%s: %q", format, b.String())
		}
	}
}

// The names and their order are what scripts rely on.
func TestFieldsOfJSON(t *testing.T) {
	want := map[dtc.Status]string{
		dtc.StatusProcess:   "pid ppid user cpu_percent mem_percent vsz_bytes rss_bytes tty state started_at cpu_seconds name command threads",
		dtc.StatusOpenFiles: "pid user command fd mode type device size_bytes node name",
		dtc.StatusMemory: "total_bytes used_bytes free_bytes shared_bytes buffers_bytes cached_bytes available_bytes " +
			"swap_total_bytes swap_used_bytes swap_free_bytes",
		dtc.StatusCPU:      "model logical_cores physical_cores load1 load5 load15 interval_seconds percent",
		dtc.StatusPlatform: "hostname os platform platform_version kernel kernel_version arch boot_time uptime_seconds virtualization",
		dtc.StatusDisk:     "filesystem type total_bytes used_bytes available_bytes used_percent mounted_on total_inodes used_inodes free_inodes",
		dtc.StatusInterfaces: "index name lower flags mtu_bytes qdisc master state mode group queue_length link_type address broadcast rest " +
			"alternative_names alias xdp xdp_programs rx_bytes rx_packets rx_errors rx_dropped rx_missed rx_multicast rx_compressed " +
			"tx_bytes tx_packets tx_errors tx_dropped tx_carrier tx_collisions tx_compressed",
		dtc.StatusSockets:  "protocol state receive_queue_bytes send_queue_bytes local_address local_port remote_address remote_port user processes",
		dtc.StatusUsers:    "user line login_at from pid",
		dtc.StatusServices: "name load state sub_state since pid description",
	}
	for _, s := range dtc.Statuses() {
		r := hostileReport(s.Status, "x", 1e9, 1)
		r.Process, r.OpenFiles, r.Memory = r.Process[:1], r.OpenFiles[:1], &dtc.Memory{}
		out := documentOf(t, Options{Format: FormatJSONL}, r)
		dec := json.NewDecoder(bytes.NewReader(out))
		keys := objectKeys(t, dec)
		if got := strings.Join(keys[""], " "); got != "host address collected_at "+string(s.Status) {
			t.Errorf("%s: object has %q", s.Status, got)
		}
		if got := strings.Join(keys[string(s.Status)], " "); got != want[s.Status] {
			t.Errorf("%s: item has\n%q, want\n%q", s.Status, got, want[s.Status])
		}
		if got := strings.Join(keys["processes"], " "); s.Status == dtc.StatusSockets && got != "name pid fd" {
			t.Errorf("processes of a socket have %q", got)
		}
		if s.Status == dtc.StatusCPU {
			const percent = "cpu user nice system iowait irq softirq steal guest guest_nice idle"
			if got := strings.Join(keys["percent"], " "); got != percent {
				t.Errorf("percent has %q", got)
			}
		}
	}
}

// objectKeys returns the keys of the first object of each array or field, by
// the name of that field.
func objectKeys(t *testing.T, dec *json.Decoder) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	var walk func(name string)
	walk = func(name string) {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('{'):
			_, seen := keys[name]
			for dec.More() {
				k, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				if !seen {
					keys[name] = append(keys[name], k.(string))
				}
				walk(k.(string))
			}
			dec.Token()
		case json.Delim('['):
			for dec.More() {
				walk(name)
			}
			dec.Token()
		}
	}
	walk("")
	return keys
}

func TestDocumentCSV(t *testing.T) {
	reports := []*dtc.Report{memoryReport("web1", "x"), failed("web2", "x", "refused"), memoryReport(`a "b", c`, "x")}
	got := strings.Join(add(t, Options{Format: FormatCSV}, reports, 0, 1, 2), "")
	const figures = "8589934592,1073741824,2147483648,0,,3221225472,7516192768,0,0,0\r\n"
	compare(t, got, "host,total_bytes,used_bytes,free_bytes,shared_bytes,buffers_bytes,cached_bytes,available_bytes,"+
		"swap_total_bytes,swap_used_bytes,swap_free_bytes\r\nweb1,"+figures+`"a ""b"", c",`+figures)
	got = strings.Join(add(t, Options{Format: FormatCSV}, reports[1:2], 0), "")
	if !strings.HasPrefix(got, "host,total_bytes") || strings.Count(got, "\r\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestCSVChangesNothing(t *testing.T) {
	for _, s := range []string{"a,b", `q"q`, "l\nm", "l\r\nm", "\r", " x ", "=1+1", "\x1b[1m\u202e", "\\.", "漢"} {
		r := hostileReport(dtc.StatusOpenFiles, s, 3, 1)
		out := string(documentOf(t, Options{Format: FormatCSV}, r))
		// Go's reader makes one newline of a carriage return and a newline.
		if want := strings.ReplaceAll(s, "\r\n", "\n"); !strings.Contains(strings.ReplaceAll(s, "\r\n", "\n"), want) {
			t.Errorf("%q is not in %q", want, out)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got, want := rows[1][3], strings.ReplaceAll(s, "\r\n", "\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if s == "\x1b[1m\u202e" {
			terminal := string(documentOf(t, Options{Format: FormatCSV, Terminal: true}, r))
			if !strings.Contains(terminal, `\x1b[1m\u202e`) {
				t.Errorf("on a terminal: %q", terminal)
			}
			if raw := string(documentOf(t, Options{Format: FormatCSV, Terminal: true, Raw: true}, r)); raw != out {
				t.Errorf("raw on a terminal: %q", raw)
			}
		}
	}
}

func TestCSVOfCPU(t *testing.T) {
	r := hostileReport(dtc.StatusCPU, "m", 4, 0.5)
	r.CPU.Percent = []dtc.CPUPercent{{CPU: "all", Idle: 99.5}, {CPU: "0", Steal: math.NaN()}}
	compare(t, string(documentOf(t, Options{Format: FormatCSV}, r)), ""+
		"host,model,logical_cores,physical_cores,load1,load5,load15,interval_seconds,"+
		"cpu,user,nice,system,iowait,irq,softirq,steal,guest,guest_nice,idle\r\n"+
		"m,m,4,0,0.5,0,0,0.5,all,0,0,0,0,0,0,0,0,0,99.5\r\n"+
		"m,m,4,0,0.5,0,0,0.5,0,0,0,0,0,0,0,,0,0,0\r\n")
}

func TestJSONStrings(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`},
		{`a"b\c/d<>&`, `"a\"b\\c/d<>&"`},
		{"\x00\x1b\x7f\n\r\t", `"\u0000\u001b\u007f\n\r\t"`},
		{"\u0085\u009b\u061c\u200e\u202e\u2028\u2066", `"\u0085\u009b\u061c\u200e\u202e\u2028\u2066"`},
		{"\xff漢\xe2\x80", "\"\ufffd漢\ufffd\ufffd\""},
	} {
		got := string(appendJSONString(nil, tt.in))
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != strings.ToValidUTF8(tt.in, "\ufffd") && !strings.Contains(tt.in, "\xe2") {
			t.Errorf("%q reads as %q: %v", got, back, err)
		}
	}
}

func TestEscapeJSON(t *testing.T) {
	text := "a\x1b\x7f\u0085\u202e\u2066é日\U0001f600\n"
	document, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	safe := EscapeJSON(append(document, '\n'))
	if want := `"a\u001b\u007f\u0085\u202e\u2066é日😀\n"` + "\n"; string(safe) != want {
		t.Errorf("got %q, want %q", safe, want)
	}
	var again string
	if err := json.Unmarshal(safe, &again); err != nil || again != text {
		t.Errorf("reads as %q, %v", again, err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("nginx", int64(812), 1.5)
	f.Add("\x1b\"\\\u202e\xff", int64(-1), math.NaN())
	f.Add("", int64(math.MaxInt64), 1e-300)
	f.Fuzz(func(t *testing.T, s string, n int64, x float64) {
		defer bounds.Alloc(t, len(s))()
		for _, status := range dtc.Statuses() {
			r := hostileReport(status.Status, s, n, x)
			out := documentOf(t, Options{Format: FormatJSON}, r, r, failed(s, s, s+"."))
			var hosts []map[string]any
			if err := json.Unmarshal(out, &hosts); err != nil || len(hosts) != 3 {
				t.Fatalf("%v: %s", err, out)
			}
			if hosts[2]["error"] == nil || hosts[2][string(status.Status)] != nil || hosts[0][string(status.Status)] == nil {
				t.Fatalf("%s", out)
			}
			checkSafe(t, string(out))
		}
	})
}

// However a host cuts its answer into parts, it spoils no other's.
func TestJSONOfOddParts(t *testing.T) {
	nan := math.NaN()
	empty := dtc.CPUPercent{User: nan, Nice: nan, System: nan, IOWait: nan, IRQ: nan, SoftIRQ: nan, Steal: nan, Guest: nan, GuestNice: nan, Idle: nan}
	for _, percent := range [][]dtc.CPUPercent{nil, {empty}, {empty, {CPU: "0"}, empty}} {
		var b bytes.Buffer
		d := NewDocument(&b, dtc.StatusCPU, 1, Options{Format: FormatJSON})
		for _, partial := range []bool{true, true, false} {
			if err := d.Add(0, &dtc.Report{CPU: &dtc.CPU{Percent: percent}, Partial: partial}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil || !json.Valid(b.Bytes()) {
			t.Errorf("%v: %s", err, b.String())
		}
	}
}

// Close ends the output once.
func TestDocumentIsClosedOnce(t *testing.T) {
	for _, opt := range []Options{{Format: FormatJSON}, {Format: FormatCSV}, {Flat: true}} {
		var b bytes.Buffer
		d := NewDocument(&b, dtc.StatusMemory, 1, opt)
		if err := d.Add(0, memoryReport("h", "a")); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		want := b.String()
		if err := d.Close(); err != nil || b.String() != want {
			t.Errorf("%+v: %v, %q", opt, err, b.String())
		}
	}
}

// A writer's error reaches the caller.
func TestDocumentWriteError(t *testing.T) {
	broken := errors.New("broken")
	d := NewDocument(writerFunc(func([]byte) (int, error) { return 0, broken }), dtc.StatusMemory, 1, Options{})
	if err := d.Add(0, memoryReport("h", "a")); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
