package status

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// lsof returns the lines of lsof by process, with a tab between the columns.
func lsof(tb testing.TB, args ...string) map[int][]string {
	tb.Helper()
	cmd := exec.Command("lsof", append([]string{"-n", "-P", "-K", "i"}, args...)...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || len(exit.Stderr) > 0) {
		tb.Fatalf("lsof: %v", err)
	}
	lines := make(map[int][]string)
	var ends []int
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, " \n")
		if ends == nil {
			ends = columnEnds(tb, line)
			continue
		}
		cells := cellsOf(line, ends)
		words := strings.Fields(cells[0]) // the command may hold spaces, escaped
		pid, err := strconv.Atoi(words[1])
		if err != nil {
			tb.Fatalf("lsof: %q", line)
		}
		lines[pid] = append(lines[pid], strings.Join(append(words[2:], cells[1:]...), "\t"))
	}
	return lines
}

// columnEnds finds where the columns end: all but the first and the last are
// flush with the right end of their title; two characters for mode and lock
// follow that of FD.
func columnEnds(tb testing.TB, header string) (ends []int) {
	tb.Helper()
	for _, title := range []string{" USER", " FD", " TYPE", " DEVICE", " SIZE/OFF", " NODE"} {
		i := strings.Index(header, title)
		if i < 0 {
			tb.Fatalf("lsof: header %q", header)
		}
		ends = append(ends, i+len(title))
	}
	ends[1] += 2
	return ends
}

func cellsOf(line string, ends []int) (cells []string) {
	from := 0
	for _, end := range ends {
		end = min(end, len(line))
		cells = append(cells, strings.TrimSpace(line[from:end]))
		from = end
	}
	return append(cells, strings.TrimSpace(line[from:]))
}

// lsofLine is f as lsof prints it, without the command and the pid.
func lsofLine(f *dtc.OpenFile) string {
	size := ""
	switch {
	case f.SizeBytes >= 0:
		size = strconv.FormatInt(f.SizeBytes, 10)
	case f.Offset >= 0:
		size = "0t" + strconv.FormatInt(f.Offset, 10)
	}
	mode := f.Mode
	if f.Lock != "" && mode == "" {
		mode = "-"
	}
	// In the C locale lsof escapes every byte that is not ASCII.
	var name strings.Builder
	for _, c := range []byte(f.Name) {
		switch {
		case c == '\n':
			name.WriteString(`\n`)
		case c == 0x1b:
			name.WriteString("^[")
		case c >= 0x80:
			fmt.Fprintf(&name, `\x%02x`, c)
		default:
			name.WriteByte(c)
		}
	}
	return strings.Join([]string{
		f.User, f.FD + mode + f.Lock, f.Type, f.Device, size, f.Node, strings.TrimRight(name.String(), " "),
	}, "\t")
}

// openFilesByProcess is our answer in the form of lsof's.
func openFilesByProcess(tb testing.TB, c *Collector) map[int][]string {
	tb.Helper()
	lines := make(map[int][]string)
	last := 0
	r := list(tb, c, dtc.StatusOpenFiles)
	for i := range r.OpenFiles {
		f := &r.OpenFiles[i]
		if f.PID < last {
			tb.Fatal("not in the order of the pids")
		}
		last = f.PID
		lines[f.PID] = append(lines[f.PID], lsofLine(f))
	}
	if len(r.Notes) > 0 {
		tb.Errorf("notes: %q", r.Notes)
	}
	return lines
}

func TestOpenFilesAgreeWithLsof(t *testing.T) {
	cast := map[int]string{
		helper(t, "files", func(c *exec.Cmd) { c.Dir = t.TempDir() }): "everything",
		helper(t, "files in a new network", func(c *exec.Cmd) {
			c.Dir = t.TempDir()
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
		}): "everything in namespaces of its own",
		sleeper(t, func(c *exec.Cmd) {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}): "another user",
		sleeper(t, func(c *exec.Cmd) { c.Path = copyOf(t, "/bin/sleep", "a b") }): "a space in the name",
		1: "the first", 2: "a thread of the kernel",
	}
	c := New(Options{})
	var wrong []string
	for range 10 { // what moves while we look is looked at again
		before, ours, after := lsof(t), openFilesByProcess(t, c), lsof(t)
		wrong = nil
		for pid, want := range before {
			if slices.Equal(want, after[pid]) && !slices.Equal(want, ours[pid]) {
				wrong = append(wrong, fmt.Sprintf("process %d %s:\n%s", pid, cast[pid], diff(ours[pid], want)))
			}
		}
		for pid, what := range cast {
			if len(ours[pid]) == 0 {
				wrong = append(wrong, fmt.Sprintf("process %d %s is not there", pid, what))
			}
		}
		if len(wrong) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, text := range wrong {
		t.Error(text)
	}
}

// diff shows the lines that only one side has.
func diff(got, want []string) string {
	var b bytes.Buffer
	for _, line := range got {
		if !slices.Contains(want, line) {
			fmt.Fprintf(&b, " got %s\n", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			fmt.Fprintf(&b, "want %s\n", line)
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order"
	}
	return b.String()
}
