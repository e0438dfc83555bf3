package main

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// obeySequences has the console obey control sequences until restore is called.
// It is not ok before Windows 10, whose console cannot.
func obeySequences(w io.Writer) (ok bool, restore func()) {
	f, isFile := w.(*os.File)
	if !isFile {
		return true, func() {}
	}
	console := windows.Handle(f.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(console, &mode); err != nil {
		return false, func() {}
	}
	if err := windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return false, func() {}
	}
	return true, func() { _ = windows.SetConsoleMode(console, mode) }
}

// onSuspend does nothing here: no key suspends a program.
func onSuspend(func(sleep func())) (stop func()) { return func() {} }
