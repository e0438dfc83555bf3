package status

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"howett.net/plist"

	"dtc"
	"dtc/internal/bounds"
)

// aJobFile is a file as /Library/LaunchDaemons has them.
const aJobFile = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>com.openssh.sshd</string>
	<key>Program</key>
	<string>/usr/libexec/sshd-keygen-wrapper</string>
	<key>ProgramArguments</key>
	<array>
		<string>/usr/sbin/sshd</string>
		<string>-i</string>
	</array>
	<key>Sockets</key>
	<dict><key>Listeners</key><dict><key>SockServiceName</key><string>ssh</string></dict></dict>
	<key>KeepAlive</key>
	<true/>
</dict>
</plist>
`

func binaryJob(tb testing.TB, job map[string]any) []byte {
	tb.Helper()
	data, err := plist.Marshal(job, plist.BinaryFormat)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestLaunchJobs(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for path, data := range map[string][]byte{
		filepath.Join(first, "ssh.plist"):      []byte(aJobFile),
		filepath.Join(first, "b.plist"):        binaryJob(t, map[string]any{"Label": "b", "ProgramArguments": []string{"/bin/b", "-x"}, "Nice": 5}),
		filepath.Join(first, "readme.txt"):     []byte("no job"),
		filepath.Join(first, "garbage.plist"):  []byte("\x00\x01garbage"),
		filepath.Join(first, "nolabel.plist"):  []byte(strings.Replace(aJobFile, "Label", "Lable", 1)),
		filepath.Join(first, "large.plist"):    []byte(aJobFile + strings.Repeat(" ", maxJobFile)),
		filepath.Join(second, "again.plist"):   binaryJob(t, map[string]any{"Label": "b", "Program": "/bin/other"}),
		filepath.Join(second, "strange.plist"): []byte(strings.Replace(aJobFile, "<true/>", "<false/>", 1)[:300]),
	} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(second, "folder.plist"), 0o755); err != nil {
		t.Fatal(err)
	}
	jobs, notes := launchJobs(first, second, filepath.Join(first, "none"))
	want := []launchJob{
		{Label: "b", ProgramArguments: []string{"/bin/b", "-x"}},
		{Label: "com.openssh.sshd", Program: "/usr/libexec/sshd-keygen-wrapper", ProgramArguments: []string{"/usr/sbin/sshd", "-i"}},
	}
	if !slices.EqualFunc(jobs, want, func(x, y launchJob) bool {
		return x.Label == y.Label && x.Program == y.Program && slices.Equal(x.ProgramArguments, y.ProgramArguments)
	}) {
		t.Errorf("got %+v, want %+v", jobs, want)
	}
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "5 files of jobs") {
		t.Errorf("notes %q", notes)
	}
}

func TestLaunchServices(t *testing.T) {
	since := time.Unix(1_700_000_000, 0)
	jobs := []launchJob{
		{Label: "com.z", Program: "/bin/z"},
		{Label: "com.A", ProgramArguments: []string{"/bin/a", "-d"}},
		{Label: "com.one", ProgramArguments: []string{"/bin/shared", "1"}},
		{Label: "com.two", ProgramArguments: []string{"/bin/shared", "2"}},
		{Label: "com.none"},
		{Label: "com.no"},
	}
	running := []launchProcess{
		{pid: 10, since: since, program: "/bin/shared", arguments: []string{"/bin/shared", "2"}},
		{pid: 11, since: since, program: "/bin/a", arguments: []string{"a: renamed"}},
		{pid: 12, since: since, program: "/bin/nobody's"},
		{pid: 13, since: since},
	}
	want := []dtc.Service{
		{Name: "com.A", State: "active", SubState: "running", PID: 11, Since: since, Description: "/bin/a"},
		{Name: "com.no", State: "inactive", SubState: "dead", PID: dtc.Absent},
		{Name: "com.none", State: "inactive", SubState: "dead", PID: dtc.Absent},
		{Name: "com.one", State: "inactive", SubState: "dead", PID: dtc.Absent, Description: "/bin/shared"},
		{Name: "com.two", State: "active", SubState: "running", PID: 10, Since: since, Description: "/bin/shared"},
		{Name: "com.z", State: "inactive", SubState: "dead", PID: dtc.Absent, Description: "/bin/z"},
	}
	if got := launchServices(jobs, running); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestProcessArguments(t *testing.T) {
	count := func(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
	for data, want := range map[string][]string{
		count(2) + "/bin/a\x00\x00\x00\x00a\x00-d\x00HOME=/root\x00": {"/bin/a", "a", "-d"},
		count(3) + "/bin/a\x00a\x00\x00b\x00":                        {"/bin/a", "a", "", "b"},
		count(1<<32-1) + "/bin/a\x00a\x00":                           {"/bin/a", "a"},
		count(0) + "/bin/a":                                          {"/bin/a"},
		"\x01\x00":                                                   {""},
		"":                                                           {""},
	} {
		program, arguments := parseProcessArguments([]byte(data))
		if got := append([]string{program}, arguments...); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	}
}

// FuzzJob has to do with files that are no jobs.
func FuzzJob(f *testing.F) {
	f.Add([]byte(aJobFile))
	f.Add(binaryJob(f, map[string]any{"Label": "b", "ProgramArguments": []string{"/bin/b", "-x"}, "Nice": 5}))
	f.Add([]byte(`{ Label = b; Program = "/bin/b"; }`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		job, err := parseJob(data)
		if err == nil && job.Label == "" {
			t.Error("a job without a label")
		}
	})
}
