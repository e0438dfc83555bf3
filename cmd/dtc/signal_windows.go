package main

import "os"

// onHangup does nothing here: the system has no SIGHUP, the reload command
// works instead.
func onHangup(func()) (stop func()) { return func() {} }

// hangupSignals returns the signals of a terminal that goes away.
func hangupSignals() []os.Signal { return []os.Signal{os.Interrupt} }
