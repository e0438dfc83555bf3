package main

// onHangup does nothing here: the system has no SIGHUP, the reload command
// works instead.
func onHangup(func()) (stop func()) { return func() {} }
