//go:build unix

package notify

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shellProgram writes a program into a home.
func shellProgram(tb testing.TB, home, text string) string {
	tb.Helper()
	must(tb, os.MkdirAll(filepath.Join(home, "conf"), 0o755))
	must(tb, os.WriteFile(filepath.Join(home, "conf", "tell"), []byte("#!/bin/sh\n"+text), 0o755))
	return "conf/tell"
}

func TestExec(t *testing.T) {
	home := t.TempDir()
	values := map[string]string{
		"program": shellProgram(t, home, `cat > stdin; env | sort > environment; pwd > folder; printf '%s\n' "$#" "$@" > args; ps -o pgid= -p $$ > group; echo $$ > pid`),
		"args":    "--to  ops *",
	}
	n := aNotice()
	must(t, sendTo(t, testSender(t, "exec", home, values), n))
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(home, name))
		must(t, err)
		return string(data)
	}
	if got := read("stdin"); got != string(NoticeJSON(n))+"\n" {
		t.Errorf("it read %q", got)
	}
	if got := read("args"); got != "3\n--to\nops\n*\n" {
		t.Errorf("its arguments are %q", got)
	}
	if got := strings.TrimSpace(read("folder")); got != home {
		t.Errorf("it runs in %s, want %s", got, home)
	}
	if pid, group := strings.TrimSpace(read("pid")), strings.TrimSpace(read("group")); pid != group {
		t.Errorf("it is process %s of group %s", pid, group)
	}
	for line := range strings.Lines(read("environment")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		want, known := map[string]string{"DTC_HOME": home, "DTC_NOTICE": "n-1", "DTC_KIND": "problem", "LANG": "C.UTF-8"}[name]
		if known && value != want || !known && name != "PATH" && name != "PWD" && name != "_" && name != "SHLVL" && name != "OLDPWD" {
			t.Errorf("its environment has %s", line)
		}
	}
	values["program"] = filepath.Join(home, values["program"])
	must(t, sendTo(t, testSender(t, "exec", home, values), n))
}

func TestExecFails(t *testing.T) {
	for _, c := range []struct{ what, text, says string }{
		{"it says no", "echo no room >&2; exit 3", "exit status 3: no room"},
		{"it is killed", "kill -9 $$", "signal: killed"},
		{"its output is hostile", `printf '\033[2J\r\nx\377'; exit 1`, `exit status 1: \x1b[2J x\xff`},
		{"its output floods", "head -c 20000000 /dev/zero | tr '\\0' x; exit 7", "exit status 7: xxx"},
		{"it tells the secret", "echo the key is s3cret-key; exit 1", "the key is ***"},
	} {
		t.Run(c.what, func(t *testing.T) {
			home := t.TempDir()
			must(t, os.WriteFile(filepath.Join(home, "args"), []byte("s3cret-key\n"), 0o600))
			s := testSender(t, "exec", home, map[string]string{"program": shellProgram(t, home, c.text), "args": "file=args"})
			err := sendTo(t, s, aNotice())
			checkError(t, err, "s3cret-key")
			if !strings.HasPrefix(err.Error(), "run conf/tell: ") || !strings.Contains(err.Error(), c.says) || isRefused(err) {
				t.Errorf("%v; want %q", err, c.says)
			}
		})
	}
	home := t.TempDir()
	for _, program := range []string{"nowhere", "conf", "ls"} { // no PATH is searched
		checkError(t, sendTo(t, testSender(t, "exec", home, map[string]string{"program": program}), aNotice()))
	}
}

// TestExecIsPatient is about programs that do as they like, and succeed.
func TestExecIsPatient(t *testing.T) {
	t.Parallel()
	n := aNotice()
	for len(n.Events) < MaxEvents {
		n.Events = append(n.Events, n.Events[0]) // more than a pipe holds
	}
	for what, text := range map[string]string{
		"it ignores its input":              "exit 0",
		"it closes its input":               "exec < /dev/null; sleep 0.1",
		"it floods":                         "head -c 20000000 /dev/zero",
		"a child of it has the output open": "sleep 1000 & echo $! > child; exit 0",
	} {
		t.Run(what, func(t *testing.T) {
			home := t.TempDir()
			began := time.Now()
			must(t, sendTo(t, testSender(t, "exec", home, map[string]string{"program": shellProgram(t, home, text)}), n))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			if data, err := os.ReadFile(filepath.Join(home, "child")); err == nil {
				pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
				must(t, err)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

// TestExecIsKilledWhole has a program that hangs, with a child that does.
func TestExecIsKilledWhole(t *testing.T) {
	for what, text := range map[string]string{
		"it waits":              "sleep 1000 & echo $! > child.tmp; mv child.tmp child; wait",
		"it ignores signals":    "trap '' TERM INT HUP; sleep 1000 & echo $! > child.tmp; mv child.tmp child; while :; do sleep 1; done",
		"it does not read":      "sleep 1000 < /dev/null & echo $! > child.tmp; mv child.tmp child; sleep 1000",
		"its leader has closed": "exec > /dev/null 2>&1 < /dev/null; sleep 1000 & echo $! > child.tmp; mv child.tmp child; wait",
	} {
		t.Run(what, func(t *testing.T) {
			home := t.TempDir()
			s := testSender(t, "exec", home, map[string]string{"program": shellProgram(t, home, text)})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Send(ctx, aNotice()) }()
			child := 0
			waitFor(t, "the child", func() bool {
				data, err := os.ReadFile(filepath.Join(home, "child"))
				child, _ = strconv.Atoi(string(bytes.TrimSpace(data)))
				return err == nil && child > 0
			})
			cancel()
			err := <-done
			checkError(t, err)
			if !strings.Contains(err.Error(), "killed, for the service ends") {
				t.Error(err)
			}
			waitFor(t, "the end of the child", func() bool {
				stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
				return err != nil || bytes.Contains(stat, []byte(") Z "))
			})
		})
	}
	home := t.TempDir()
	s := testSender(t, "exec", home, map[string]string{"program": shellProgram(t, home, "echo thinking; exec sleep 1000")})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Send(ctx, aNotice()); err == nil || !strings.Contains(err.Error(), "it took too long: thinking") {
		t.Error(err)
	}
}

func waitFor(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within 20 s", what)
		}
	}
}
