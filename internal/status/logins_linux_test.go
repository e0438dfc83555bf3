package status

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"dtc"
	"dtc/internal/bounds"
)

// utmpRecord is struct utmp of amd64.
type utmpRecord struct {
	Kind         int16
	_            int16
	PID          int32
	Line         [32]byte
	ID           [4]byte
	User         [32]byte
	Host         [256]byte
	_            [8]byte
	Seconds      int32
	Microseconds int32
	Address      [16]byte
	_            [20]byte
}

func record(kind int16, pid int, line, user, host string) utmpRecord {
	r := utmpRecord{Kind: kind, PID: int32(pid), Seconds: int32(time.Now().Unix())}
	copy(r.Line[:], line)
	copy(r.User[:], user)
	copy(r.Host[:], host)
	return r
}

// utmp are the bytes of a file of records.
func utmp(tb testing.TB, records ...utmpRecord) string {
	tb.Helper()
	b, err := binary.Append(nil, binary.NativeEndian, records)
	if err != nil {
		tb.Fatal(err)
	}
	if len(b) != utmp32.size*len(records) {
		tb.Fatalf("a record has %d bytes", len(b)/len(records))
	}
	return string(b)
}

// whoLines are our logins as who prints them.
func whoLines(users []dtc.User) string {
	var b strings.Builder
	for _, u := range users {
		from := ""
		if u.From != "" {
			from = " (" + u.From + ")"
		}
		line := fmt.Sprintf("%s%s %s%s %s%s", u.Name, strings.Repeat(" ", max(0, 8-len(u.Name))),
			u.Line, strings.Repeat(" ", max(0, 12-len(u.Line))), u.LoginAt.Format("Jan _2 15:04"), from)
		b.WriteString(line + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestLoginsAgreeWithWho has files of utmp that no system wrote.
func TestLoginsAgreeWithWho(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(most int) string {
		b := make([]byte, random.IntN(most+1))
		for i := range b {
			for b[i] == 0 || b[i] == '\n' {
				b[i] = byte(random.UintN(256))
			}
		}
		return "x" + string(b)
	}
	for range 60 {
		var records []utmpRecord
		for range random.IntN(8) {
			r := record(int16(random.IntN(10)), 0, text(40), text(40), text(300))
			r.Seconds = int32(random.Uint32() >> 1)
			if random.IntN(3) > 0 {
				r.Kind = 7
			}
			switch random.IntN(6) {
			case 0:
				r.User = [32]byte{}
			case 1:
				r.Host = [256]byte{}
			case 2:
				copy(r.User[:], "root\x00")
				copy(r.Line[:], "pts/3\x00")
				copy(r.Host[:], "10.0.0.1\x00")
			case 3:
				copy(r.Host[:], "host:0\x00")
			}
			records = append(records, r)
		}
		data := utmp(t, records...)
		h := tree(t, map[string]string{"var/run/utmp": data, "proc/1/x": ""})
		c := New(Options{Root: h.root})
		if got, want := whoLines(list(t, c, dtc.StatusUsers).Users), output(t, "who", h.path("var/run/utmp")); got != want {
			t.Fatalf("got\n%q\nwant\n%q", got, want)
		}
	}
}

// TestRealLogins has an utmp of this system, with processes that live and one
// that does not.
func TestRealLogins(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	mount(t, "run", "/run", "tmpfs", "")
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	alive := sleeper(t, nil)
	data := utmp(t,
		record(2, 0, "~", "reboot", "6.18"), record(1, 53, "~", "runlevel", "6.18"), record(6, alive, "tty1", "LOGIN", ""),
		record(7, alive, "pts/0", "root", "10.0.0.9"), record(7, alive, "pts/1", "a-name-of-more-than-8", "2001:db8::1"),
		record(7, gone.Process.Pid, "pts/2", "dead", ""), record(8, alive, "pts/3", "logged-out", ""), record(7, 0, "pts/4", "nobody", ""),
		record(7, alive, "tty7", "desk", ":0"), record(7, alive, "ssh/"+strings.Repeat("x", 28), strings.Repeat("n", 32), strings.Repeat("h", 256)))
	if err := os.WriteFile("/run/utmp", []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	c := New(Options{})
	users := list(t, c, dtc.StatusUsers).Users
	if got, want := whoLines(users), output(t, "who"); got != want {
		t.Errorf("got\n%s\nwho prints\n%s", got, want)
	}
	if len(users) != 5 || users[0].PID != alive || users[2].PID != dtc.Absent {
		t.Errorf("got %+v", users)
	}
	// uptime counts the dead one too.
	agree(t, "uptime", func() string { return fmt.Sprint(list(t, c, dtc.StatusCPU).CPU.Users) }, func() string {
		_, rest, _ := strings.Cut(output(t, "uptime"), ",  ")
		return strings.Fields(rest)[0]
	})
	for _, empty := range []string{"", utmp(t, record(8, 1, "pts/3", "logged-out", ""))} {
		if err := os.WriteFile("/run/utmp", []byte(empty), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, want := whoLines(list(t, c, dtc.StatusUsers).Users), output(t, "who"); got != "" || want != "" {
			t.Errorf("nobody: got %q, who prints %q", got, want)
		}
	}
}

// TestLoginOfTmux has a program write its own record.
func TestLoginOfTmux(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	mount(t, "run", "/run", "tmpfs", "")
	mustRun(t, "install", "-m", "664", "-g", "utmp", "/dev/null", "/run/utmp")
	socket := filepath.Join(t.TempDir(), "tmux")
	mustRun(t, "tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "sleep", "600")
	defer mustRun(t, "tmux", "-S", socket, "kill-server")
	c := New(Options{})
	eventually(t, "the login", func() bool { return len(list(t, c, dtc.StatusUsers).Users) == 1 })
	users := list(t, c, dtc.StatusUsers).Users
	if got, want := whoLines(users), output(t, "who"); got != want {
		t.Errorf("got\n%s\nwho prints\n%s", got, want)
	}
	if u := users[0]; u.Name != "root" || !strings.HasPrefix(u.From, "tmux(") || time.Since(u.LoginAt) > time.Hour || u.PID <= 1 {
		t.Errorf("got %+v", u)
	}
}

func TestUtmpOfEitherSize(t *testing.T) {
	for _, layout := range []utmpLayout{utmp32, utmp64} {
		size := layout.size
		record := func(kind byte, user string) string {
			b := make([]byte, size)
			b[0] = kind
			copy(b[layout.user.from:], user)
			copy(b[layout.line.from:], "tty1")
			binary.NativeEndian.PutUint32(b[layout.seconds.from:], 1_800_000_000)
			return string(b)
		}
		data := record(2, "reboot") + record(7, "root") + record(7, "") + record(8, "gone") + record(7, "who")
		h := tree(t, map[string]string{"var/run/utmp": data})
		users := list(t, New(Options{Root: h.root}), dtc.StatusUsers).Users
		if len(users) != 2 || users[1].Name != "who" || users[1].Line != "tty1" || users[1].LoginAt.Unix() != 1_800_000_000 {
			t.Errorf("records of %d bytes: %+v", size, users)
		}
		if got := h.sessions(); got != 2 {
			t.Errorf("records of %d bytes: %d users", size, got)
		}
	}
}

func TestSessionsOfLogind(t *testing.T) {
	h := tree(t, map[string]string{
		"run/systemd/sessions/7": "# This is private data. Do not parse.\nUID=1000\nUSER=me\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\n" +
			"CLASS=user\nSCOPE=session-7.scope\nREMOTE_HOST=10.0.0.9\nSERVICE=sshd\nTTY=pts/0\nLEADER=812\nREALTIME=1790000000123456\n",
		"run/systemd/sessions/2":  "UID=0\nCLASS=manager\n",
		"run/systemd/sessions/c1": "UID=0\nCLASS=greeter\n",
		"run/systemd/sessions/9":  "UID=1001\nCLASS=user-early\nLEADER=-5\nREALTIME=no\n",
		"run/systemd/sessions/8":  "",
	})
	if err := exec.Command("mkfifo", h.path("run/systemd/sessions/7.ref")).Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", h.path("run/systemd/sessions/zero")); err != nil {
		t.Fatal(err)
	}
	got := list(t, New(Options{Root: h.root}), dtc.StatusUsers).Users
	want := []dtc.User{
		{Name: "1001", PID: dtc.Absent},
		{Name: "me", Line: "pts/0", From: "10.0.0.9", PID: 812, LoginAt: time.UnixMicro(1790000000123456)},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := h.sessions(); got != 2 {
		t.Errorf("%d sessions", got)
	}
	empty := tree(t, nil)
	if r := list(t, New(Options{Root: empty.root}), dtc.StatusUsers); len(r.Users) != 0 || len(r.Notes) != 0 {
		t.Errorf("no session: %+v", r)
	}
}

func TestUtmpIsNoFile(t *testing.T) {
	h := tree(t, map[string]string{"var/run/x": ""})
	if err := exec.Command("mkfifo", h.path("var/run/utmp")).Run(); err != nil {
		t.Fatal(err)
	}
	if users := list(t, New(Options{Root: h.root}), dtc.StatusUsers).Users; len(users) != 0 {
		t.Errorf("got %+v", users)
	}
	if _, err := os.Stat(filepath.Join(h.root, "var/run/utmp")); err != nil {
		t.Fatal(err)
	}
}

func FuzzUtmp(f *testing.F) {
	f.Add([]byte(utmp(f, record(7, 1, "pts/0", "root", "10.0.0.1"), record(8, 1, "", "", ""))))
	f.Add(make([]byte, 3*utmp64.size))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		users := parseUtmp(data)
		if len(users) > len(data)/utmp32.size {
			t.Errorf("%d users in %d bytes", len(users), len(data))
		}
		for _, u := range users {
			if u.Name == "" || len(u.Name) > 32 || len(u.Line) > 32 || len(u.From) > 256 || u.PID == 0 || u.PID < dtc.Absent {
				t.Errorf("%+v", u)
			}
		}
	})
}

func FuzzSession(f *testing.F) {
	f.Add([]byte("UID=0\nUSER=root\nCLASS=user\nTTY=pts/0\nREMOTE_HOST=h\nLEADER=1\nREALTIME=1790000000123456\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		u, ok := parseSession(data)
		if ok != (u.PID != 0) || u.PID < dtc.Absent || strings.ContainsFunc(u.Name+u.Line+u.From, func(r rune) bool { return r == '\n' && unicode.IsSpace(r) }) {
			t.Errorf("%v %+v", ok, u)
		}
	})
}

func FuzzMountTable(f *testing.F) {
	f.Add([]byte("22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n30 22 0:45 / /mnt/a\\040b rw shared:1 - nfs4 s:/ex rw\n1 2 3:4  -  \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		mounts := parseMountTable(data)
		if chosen := chooseMounts(mounts); len(chosen) > len(mounts) || len(mounts) > 0 && len(chosen) == 0 {
			t.Errorf("%d of %d mounts", len(chosen), len(mounts))
		}
	})
}
