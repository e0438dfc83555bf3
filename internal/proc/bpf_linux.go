package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program is a program that the kernel runs: bpf(2).
type Program struct {
	Name     string
	Tag      [unix.BPF_TAG_SIZE]byte // a hash of its instructions
	Compiled bool                    // to the processor's own (ip: jited)
}

// Program returns what the kernel tells of a program, which it does to root
// only.
func (f FS) Program(id uint32) (Program, error) {
	if f != Default {
		return Program{}, errors.New("ask the kernel: " + string(f) + " is not of this kernel")
	}
	var attr [12]byte // the beginning of union bpf_attr: the number, the next, flags
	binary.NativeEndian.PutUint32(attr[:], id)
	fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, attr[:])
	if err != nil {
		return Program{}, fmt.Errorf("look at program %d: %w", id, err)
	}
	defer func() { _ = unix.Close(fd) }()
	return programInfo(fd)
}

// programInfo reads the beginning of struct bpf_prog_info.
func programInfo(fd int) (Program, error) {
	const size, tag, compiledSize, name = 80, 8, 16, 64
	info := new([size]byte)
	var attr [16]byte
	binary.NativeEndian.PutUint32(attr[:], uint32(fd))
	binary.NativeEndian.PutUint32(attr[4:], size)
	// The kernel writes to info while this call lasts: its address stands in attr
	// as a number, which does not keep it where it is.
	var pin runtime.Pinner
	pin.Pin(info)
	defer pin.Unpin()
	binary.NativeEndian.PutUint64(attr[8:], uint64(uintptr(unsafe.Pointer(info))))
	if _, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, attr[:]); err != nil {
		return Program{}, err
	}
	return Program{
		Name:     attrText(info[name : name+unix.BPF_OBJ_NAME_LEN]),
		Tag:      [unix.BPF_TAG_SIZE]byte(info[tag:]),
		Compiled: binary.NativeEndian.Uint32(info[compiledSize:]) != 0,
	}, nil
}

func bpf(command uintptr, attr []byte) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(&attr[0])), uintptr(len(attr)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
