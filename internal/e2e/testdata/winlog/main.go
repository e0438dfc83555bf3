//go:build windows

// Command winlog writes a log as programs on Windows do: it does what each line
// of its input says, and answers with a line, "ok" or the error and its number.
//
//	open SHARE       opens the file for writing at its end, and makes it if it is not there;
//	                 SHARE is what others may do meanwhile: r, rw or rwd
//	write TEXT       writes a line
//	close
//	rename TO        gives the file another name, in its folder
//	rename-open TO   the same by the handle that is open
//	remove
//	remove-open      by the handle: the file goes when the last one closes it
//	truncate         makes the file empty, by its name
//	truncate-open    by the handle
//	copy TO          copies it
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

type log struct {
	path string
	h    windows.Handle
}

func main() {
	l := &log{path: os.Args[1]}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, arg, _ := strings.Cut(strings.TrimRight(in.Text(), "\r"), " ")
		err := l.do(verb, arg)
		var number windows.Errno
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.As(err, &number):
			fmt.Printf("error %d %v\n", uint32(number), err)
		default:
			fmt.Printf("error 0 %v\n", err)
		}
	}
}

func (l *log) do(verb, arg string) error {
	beside := filepath.Join(filepath.Dir(l.path), arg)
	switch verb {
	case "open":
		return l.open(arg)
	case "write":
		text := []byte(arg + "\r\n")
		var n uint32
		return windows.WriteFile(l.h, text, &n, nil)
	case "close":
		return windows.CloseHandle(l.h)
	case "rename":
		return windows.MoveFileEx(wide(l.path), wide(beside), windows.MOVEFILE_REPLACE_EXISTING)
	case "rename-open":
		return l.renameOpen(beside)
	case "remove":
		return windows.DeleteFile(wide(l.path))
	case "remove-open":
		var yes byte = 1
		return windows.SetFileInformationByHandle(l.h, windows.FileDispositionInfo, &yes, 1)
	case "truncate":
		h, err := windows.CreateFile(wide(l.path), windows.GENERIC_WRITE,
			windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.TRUNCATE_EXISTING, 0, 0)
		if err != nil {
			return err
		}
		return windows.CloseHandle(h)
	case "truncate-open":
		if _, err := windows.Seek(l.h, 0, 0); err != nil {
			return err
		}
		return windows.SetEndOfFile(l.h)
	case "copy":
		return l.copy(beside)
	}
	return fmt.Errorf("no such verb: %s", verb)
}

// copy shares everything: the handle that is open may delete.
func (l *log) copy(to string) error {
	h, err := windows.CreateFile(wide(l.path), windows.GENERIC_READ,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(h), l.path)
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

func wide(s string) *uint16 {
	p, err := windows.UTF16PtrFromString(s)
	if err != nil {
		panic(err)
	}
	return p
}

func (l *log) open(share string) error {
	mode := uint32(0)
	for _, c := range share {
		mode |= map[rune]uint32{'r': windows.FILE_SHARE_READ, 'w': windows.FILE_SHARE_WRITE, 'd': windows.FILE_SHARE_DELETE}[c]
	}
	h, err := windows.CreateFile(wide(l.path), windows.FILE_APPEND_DATA|windows.FILE_WRITE_DATA|windows.DELETE|windows.SYNCHRONIZE,
		mode, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return err
	}
	l.h = h
	_, err = windows.Seek(h, 0, 2)
	return err
}

// renameOpen sets FILE_RENAME_INFO.
func (l *log) renameOpen(to string) error {
	name, err := windows.UTF16FromString(to)
	if err != nil {
		return err
	}
	type renameInfo struct {
		replace uint32
		root    windows.Handle
		length  uint32
		name    [300]uint16
	}
	info := renameInfo{replace: 1, length: uint32(2 * (len(name) - 1))}
	copy(info.name[:], name)
	return windows.SetFileInformationByHandle(l.h, windows.FileRenameInfo, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
}
