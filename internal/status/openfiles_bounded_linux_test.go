package status

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

// openMany opens as many descriptors as may be, and maps as many files.
func (o *opener) openMany() {
	var limit unix.Rlimit
	must(0, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(0, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit.Max, Max: limit.Max}))
	null := must(unix.Open("/dev/null", unix.O_RDWR, 0))
	for range 500 {
		fd := must(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
		must(0, unix.Ftruncate(fd, 1))
		o.mmap(fd, 1)
		must(0, unix.Close(fd))
	}
	for {
		if _, err := unix.Dup(null); err != nil {
			return
		}
	}
}

// However many files are open, the memory that an answer takes is the same.
func TestOpenFilesInBoundedMemory(t *testing.T) {
	const processes, most = 3, 16 << 20
	for range processes {
		helper(t, "as many as may be", func(c *exec.Cmd) { c.Dir = t.TempDir() })
	}
	files := 0
	var peak, before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	highest := before.HeapAlloc
	err := New(Options{}).Get(t.Context(), dtc.Query{Status: dtc.StatusOpenFiles}, func(r *dtc.Report) error {
		files += len(r.OpenFiles)
		if files/1000%10 == 0 {
			runtime.GC() // what is no longer needed does not count
			runtime.ReadMemStats(&peak)
			highest = max(highest, peak.HeapAlloc)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	taken := highest - before.HeapAlloc
	t.Logf("%d files with %d KiB", files, taken>>10)
	if files < processes*2000 || taken > most {
		t.Errorf("%d files take %d bytes, more than %d", files, taken, most)
	}
}

// What a reader remembers of one process and of all is bounded.
func TestMemoryOfAReader(t *testing.T) {
	c := New(Options{})
	r := newFileReader(newFileTables(c.host), c.host.users.Load())
	for i := range uint32(3 * maxDevices) {
		if got, want := r.device([2]uint32{i, 7}), fmt.Sprintf("%d,7", i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if len(r.devices) > maxDevices {
		t.Errorf("%d devices", len(r.devices))
	}
	r.text = func(b []byte) string { return string(b) }
	for _, fd := range []int{0, 9, maxNumbers - 1, maxNumbers, 1 << 30} {
		if got := r.number(fd); got != strconv.Itoa(fd) {
			t.Errorf("got %s, want %d", got, fd)
		}
	}
	if len(r.numbers) > maxNumbers {
		t.Errorf("%d numbers", len(r.numbers))
	}
	m := &r.mapped
	m.begin()
	for i := range 100_000 {
		m.keep(fmt.Sprintf("fe:00 %d /lib/%0100d", i, i), &mappedRow{})
		if m.bytes > maxMappedEver+1000 {
			t.Fatalf("%d bytes are remembered", m.bytes)
		}
	}
	if m.begin(); len(m.rows) > 0 && m.bytes > maxMapped {
		t.Errorf("%d bytes are remembered for the next process", m.bytes)
	}
}
