package main

import (
	"io"
	"os"
	"sync"

	"github.com/muesli/cancelreader"
	"golang.org/x/term"
)

// keyboard reads keys from a terminal as they are pressed. A nil one has none.
type keyboard struct {
	in *os.File
	as *term.State // the terminal was found
}

// openKeyboard returns the keyboard of in, with the terminal in raw mode until
// restore is called; nil if in is no terminal.
func openKeyboard(in io.Reader) *keyboard {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	k := &keyboard{in: f}
	k.raw()
	if k.as == nil {
		return nil
	}
	return k
}

// raw has the terminal give each key at once, and not show it.
func (k *keyboard) raw() {
	if k == nil {
		return
	}
	if as, err := term.MakeRaw(int(k.in.Fd())); err == nil {
		k.as = as
	}
}

// restore leaves the terminal as raw found it.
func (k *keyboard) restore() {
	if k != nil {
		_ = term.Restore(int(k.in.Fd()), k.as) // it is gone, or as it was
	}
}

// What keys send that a terminal in raw mode does not obey itself.
const (
	ctrlC = 0x03
	ctrlZ = 0x1a
)

// listen calls quit at q and Ctrl-C, and suspends the program at Ctrl-Z, until
// stop is called.
func (k *keyboard) listen(quit func()) (stop func()) {
	if k == nil {
		return func() {}
	}
	keys, err := cancelreader.NewReader(k.in)
	if err != nil {
		quit() // nothing else could end it: Ctrl-C is a key now
		return func() {}
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 64)
		for {
			n, err := keys.Read(b)
			for _, key := range b[:n] {
				switch key {
				case 'q', 'Q', ctrlC:
					quit()
				case ctrlZ:
					suspend()
				}
			}
			if err != nil {
				quit() // no key can any more
				return
			}
		}
	})
	return func() {
		if keys.Cancel() { // else the read would outlive it
			reading.Wait()
		}
		_ = keys.Close()
	}
}
