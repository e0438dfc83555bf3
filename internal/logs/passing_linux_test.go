package logs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPassed lets go what is safe, each byte once, and keeps what came last.
func TestPassed(t *testing.T) {
	for _, c := range []struct{ end, came, from, to int64 }{
		{10, 10, 0, 0},
		{1 << 30, passAt - 1, 0, 0},
		{64 << 20, 64 << 20, 0, 64<<20 - passKeep},
		{128 << 20, 64 << 20, 64<<20 - passKeep, 128<<20 - passKeep},
		{passKeep / 2, passAt, 0, 0},
	} {
		if from, to := passed(c.end, c.came); from != c.from || to != c.to {
			t.Errorf("of %d bytes before %d: [%d, %d), not [%d, %d)", c.came, c.end, from, to, c.from, c.to)
		}
	}
}

// TestLetGo gives memory back, and no byte with it.
func TestLetGo(t *testing.T) {
	const size, from, to = 8 << 20, 1 << 20, 7 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	check(t, err)
	defer f.Close()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	_, err = f.Write(data)
	check(t, err)
	check(t, syncData(f))
	letGo(f, from, to)

	var st unix.Statfs_t
	check(t, unix.Fstatfs(int(f.Fd()), &st))
	if st.Type != unix.TMPFS_MAGIC && inMemory(f, from+to/2) { // there it has no other place
		t.Error("the memory is not given back")
	}
	if !inMemory(f, size-1) {
		t.Error("the last bytes are not in memory any more")
	}
	have := make([]byte, size)
	_, err = f.ReadAt(have, 0)
	check(t, err)
	if string(have) != string(data) {
		t.Error("it has other bytes now")
	}
	letGo(f, 0, size)
	f.Close()
	letGo(f, 0, size) // as if somebody had closed it meanwhile
}

// inMemory tells whether a byte of f can be read without the disk.
func inMemory(f *os.File, at int64) bool {
	_, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 1)}, at, unix.RWF_NOWAIT)
	return !errors.Is(err, unix.EAGAIN)
}
