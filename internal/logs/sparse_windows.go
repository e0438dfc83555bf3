package logs

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fsctlQueryAllocatedRanges asks NTFS which ranges of a sparse file have data
// (FSCTL_QUERY_ALLOCATED_RANGES of winioctl.h).
const fsctlQueryAllocatedRanges = 0x000940CF

// allocatedRange is FILE_ALLOCATED_RANGE_BUFFER.
type allocatedRange struct{ offset, length int64 }

// dataFrom returns the first position in [at, end) of a file where it has
// data, and end where all of that is a hole. Where the system does not tell it
// is at.
func dataFrom(f *os.File, at, end int64) int64 {
	if end <= at {
		return at
	}
	in := allocatedRange{at, end - at}
	var out allocatedRange
	var n uint32
	err := windows.DeviceIoControl(windows.Handle(f.Fd()), fsctlQueryAllocatedRanges,
		(*byte)(unsafe.Pointer(&in)), uint32(unsafe.Sizeof(in)),
		(*byte)(unsafe.Pointer(&out)), uint32(unsafe.Sizeof(out)), &n, nil)
	runtime.KeepAlive(f)
	switch {
	case n > 0: // perhaps with ERROR_MORE_DATA: the first range is all that is asked for
		return min(max(out.offset, at), end)
	case err != nil:
		return at
	}
	return end
}
