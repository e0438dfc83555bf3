//go:build unix

package doctor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// space returns how much room a folder's disk has for one who is not root, and
// its size, in bytes.
func space(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	size := uint64(st.Bsize) //nolint:gosec,nolintlint // never negative; of another type elsewhere
	return st.Bavail * size, st.Blocks * size, nil
}

// descriptors compares how many files may be open with how many will be.
func descriptors(need int) Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{Warn, "descriptors", fmt.Sprintf("how many files may be open is not known: %v", err), ""}
	}
	const own = 256 // of the program itself, and of its connections
	want := uint64(max(need, 0)) + own
	f := Finding{OK, "descriptors", fmt.Sprintf("%d files may be open here, and about %d will be", limit.Max, want), ""}
	if limit.Max < 2*want {
		f.Level, f.Advice = Warn, "raise it: 'ulimit -Hn' in the shell that starts the program, LimitNOFILE= of a service"
	}
	if limit.Max < want {
		f.Level = Bad
	}
	return f
}

// taken tells whether somebody else listens there.
func taken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
