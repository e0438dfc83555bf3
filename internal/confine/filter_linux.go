//go:build amd64 || arm64

package confine

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A filter is a program of the classic BPF, see seccomp(2), that the kernel runs
// before a system call with struct seccomp_data: the number of the call, the
// architecture, the place of the program, and six arguments of 64 bits, of which
// the lower halves stand first on both architectures.
const (
	dataNumber    = 0
	dataArch      = 4
	dataArguments = 16

	load       = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	ifEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAbove    = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	ifAnyBitOf = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	finish     = unix.BPF_RET | unix.BPF_K
)

// verdict is what a filter ends with.
type verdict uint32

const (
	allow   verdict = unix.SECCOMP_RET_ALLOW
	refuse  verdict = unix.SECCOMP_RET_ERRNO | verdict(unix.EPERM)
	unknown verdict = unix.SECCOMP_RET_ERRNO | verdict(unix.ENOSYS) // who calls has another way for older kernels
	pretend verdict = unix.SECCOMP_RET_ERRNO                        // not done, and said to be
)

func end(v verdict) unix.SockFilter { return unix.SockFilter{Code: finish, K: uint32(v)} }

// filter is a program under construction.
type filter []unix.SockFilter

// newFilter begins a filter. Calls of another architecture are refused; those of
// x32 have numbers above all others.
func newFilter() filter {
	return filter{
		{Code: load, K: dataArch},
		{Code: ifEqual, K: auditArch, Jt: 1},
		end(refuse),
		{Code: load, K: dataNumber},
		{Code: ifAbove, K: newestCall, Jf: 1},
		end(unknown),
	}
}

// on adds what is done with a call: rules, which end with a verdict.
func (f *filter) on(call uint32, rules ...unix.SockFilter) {
	*f = append(*f, unix.SockFilter{Code: ifEqual, K: call, Jf: uint8(len(rules))})
	*f = append(*f, rules...)
}

// all adds one verdict for calls.
func (f *filter) all(v verdict, calls ...uint32) {
	for _, call := range calls {
		f.on(call, end(v))
	}
}

// argument loads the lower half of an argument, which is all that the kernel
// looks at where it is an int.
func argument(n uint32) unix.SockFilter {
	return unix.SockFilter{Code: load, K: dataArguments + 8*n}
}

// only allows a call whose argument is one of values.
func only(n uint32, values ...uint32) []unix.SockFilter {
	rules := []unix.SockFilter{argument(n)}
	for _, v := range values {
		rules = append(rules, unix.SockFilter{Code: ifEqual, K: v, Jf: 1}, end(allow))
	}
	return append(rules, end(refuse))
}

// without refuses a call whose argument has one of bits.
func without(n, bits uint32) []unix.SockFilter {
	return []unix.SockFilter{argument(n), {Code: ifAnyBitOf, K: bits, Jf: 1}, end(refuse), end(allow)}
}

// with refuses a call whose argument has none of bits.
func with(n, bits uint32) []unix.SockFilter {
	return []unix.SockFilter{argument(n), {Code: ifAnyBitOf, K: bits, Jt: 1}, end(refuse), end(allow)}
}

// not refuses a call whose argument is one of values.
func not(n uint32, values ...uint32) []unix.SockFilter {
	rules := []unix.SockFilter{argument(n)}
	for _, v := range values {
		rules = append(rules, unix.SockFilter{Code: ifEqual, K: v, Jf: 1}, end(refuse))
	}
	return append(rules, end(allow))
}

// done is the finished program.
func (f *filter) done() *unix.SockFprog {
	steps := append(*f, end(allow))
	return &unix.SockFprog{Len: uint16(len(steps)), Filter: &steps[0]}
}

// install sets a filter for the calling thread or, with
// SECCOMP_FILTER_FLAG_TSYNC, for all.
func install(f filter, flags uintptr) error {
	program := f.done()
	// Without SPEC_ALLOW older kernels switch a processor's speculation off for us,
	// which is for programs that run the code of others.
	at, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(program)))
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("seccomp: %w", errno)
	case at != 0:
		return fmt.Errorf("seccomp: thread %d has a filter of its own", at)
	default:
		return nil
	}
}

// installAll sets a filter for all threads but the keepers, which say that they
// have it: with TSYNC the kernel wants all to have the same.
func installAll(f filter) error {
	program := f.done()
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(program)
	pin.Pin(program.Filter)
	err := onAllThreads(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(program)))
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
