package main

import (
	"io"
	"syscall"
)

// obeySequences has the console obey control sequences until restore is called.
// It is not ok before Windows 10, whose console cannot.
func obeySequences(w io.Writer) (ok bool, restore func()) {
	f, isFile := w.(interface{ Fd() uintptr })
	if !isFile {
		return true, func() {}
	}
	const virtualTerminal = 0x4 // ENABLE_VIRTUAL_TERMINAL_PROCESSING
	console := f.Fd()
	var mode uint32
	if err := syscall.GetConsoleMode(syscall.Handle(console), &mode); err != nil {
		return false, func() {}
	}
	setMode := syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleMode")
	if done, _, _ := setMode.Call(console, uintptr(mode|virtualTerminal)); done == 0 {
		return false, func() {}
	}
	return true, func() { _, _, _ = setMode.Call(console, uintptr(mode)) }
}

// onSuspend does nothing here: no key suspends a program.
func onSuspend(func(sleep func())) (stop func()) { return func() {} }
