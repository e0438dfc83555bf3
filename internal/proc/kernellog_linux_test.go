package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKernelLog(t *testing.T) {
	if log, err := openKernelLog(filepath.Join(t.TempDir(), "none")); err == nil {
		_ = log.Close()
		t.Error("what is not there was opened")
	}
	log, err := OpenKernelLog()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	mark := fmt.Sprintf("dtc test %d", time.Now().UnixNano())
	drain := func(patience time.Duration) (texts []string, all bool) {
		all = log.Drain(patience, func(record []byte) {
			if text := string(record); strings.Contains(text, mark) {
				texts = append(texts, text)
			}
			if pid, ok := OOMVictim(record); ok && strings.Contains(string(record), mark) {
				t.Errorf("%q was taken for the kernel's: %d", record, pid)
			}
		})
		return texts, all
	}
	if texts, all := drain(time.Minute); !all || len(texts) != 0 {
		t.Fatalf("at its end: %q, %v", texts, all)
	}
	// Everybody who may write into the log can pretend, but not be the kernel.
	lines := []string{"Out of memory: Killed process 1 (" + mark + ")", mark + " two"}
	for _, line := range lines {
		writeKernelLog(t, "<3>"+line)
	}
	texts, all := drain(time.Minute)
	if !all || len(texts) != 2 || !strings.Contains(texts[0], ";"+lines[0]) || !strings.Contains(texts[1], ";"+lines[1]) {
		t.Fatalf("read %q, %v", texts, all)
	}
	if texts, all := drain(time.Minute); !all || len(texts) != 0 {
		t.Fatalf("read again: %q, %v", texts, all)
	}

	// What takes too long is left out.
	for i := range 200 {
		writeKernelLog(t, fmt.Sprint(mark, " many ", i))
	}
	if texts, all := drain(-1); all || len(texts) == 0 || len(texts) >= 200 {
		t.Errorf("without patience: %d of 200, %v", len(texts), all)
	}
	if texts, all := drain(time.Minute); !all || len(texts) != 0 {
		t.Errorf("after that: %d, %v", len(texts), all)
	}
}

// writeKernelLog writes a line into the kernel's log: the kernel lets nobody
// write many, so that each gets a descriptor of its own.
func writeKernelLog(t *testing.T, line string) {
	t.Helper()
	if err := os.WriteFile("/dev/kmsg", []byte(line+"\n"), 0); err != nil {
		t.Fatal(err)
	}
}
