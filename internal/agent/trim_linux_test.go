package agent

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// residentFile returns how many bytes of files this process has mapped.
func residentFile(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "RssFile:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func TestFreeMemoryUnmapsCode(t *testing.T) {
	before := residentFile(t)
	freeMemory()
	after := residentFile(t)
	if after > before-1<<20 {
		t.Errorf("%d bytes of files were mapped, and now %d", before, after)
	}
}

func TestCodeRange(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-0093a000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent":           true,
		"00400000-0093a000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent (deleted)": false,
		"0093a000-00edf000 r--p 0053a000 fe:00 10299234                           /opt/dtc agent":           false,
		"0093a000-00edf000 rwxp 0053a000 fe:00 10299234                           /opt/dtc agent":           false,
		"00400000-0093a000 r-xp 00000000 fe:00 10299234                           /lib/libc.so.6":           false,
		"7ffd3b5f2000-7ffd3b5f4000 r-xp 00000000 00:00 0                          [vdso]":                   false,
		"7ffd3b5f2000-7ffd3b5f4000 r-xp 00000000 00:00 0":                                                   false,
		"0093a000-00400000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent":           false,
		"nonsense": false,
		"":         false,
	} {
		from, to, ok := codeRange([]byte(line+"\n"), "/opt/dtc agent")
		if ok != want || ok && (from != 0x400000 || to != 0x93a000) {
			t.Errorf("%q: %x to %x, %v", line, from, to, ok)
		}
	}
}
