package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestSuspendedWatch presses Ctrl-Z on a terminal under a shell with job
// control: the shell gets the terminal back as it was, fg shows the screen anew,
// and Ctrl-C ends it.
func TestSuspendedWatch(t *testing.T) {
	a, _, _ := testApp(t, "web-1")
	shell := `set -m; dtc get memory -w=100ms; echo SHELL; fg; echo END $?`
	cmd := exec.CommandContext(t.Context(), "script", "-qec", "bash -c '"+shell+"'", "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", "DTC_HOME="+a.getenv("DTC_HOME"))
	screen := &output{}
	cmd.Stdout, cmd.Stderr = screen, screen
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	from := 0
	shows := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if at := strings.Index(screen.String()[from:], text); at >= 0 {
				from += at + len(text)
				return
			}
			if time.Now().After(deadline) {
				_ = cmd.Process.Kill()
				t.Fatalf("no %q in\n%q", text, screen.String()[from:])
			}
		}
	}
	press := func(key string) {
		if _, err := keys.Write([]byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	shows(openScreen)
	shows("Mem:")
	press("\x1a")
	shows(closeScreen)
	shows("SHELL")
	shows(openScreen)
	shows("Mem:")
	press("\x03")
	shows(closeScreen)
	shows("END")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if rest := screen.String()[from:]; strings.Contains(rest, "\x1b") {
		t.Errorf("after the end: %q", rest)
	}
}
