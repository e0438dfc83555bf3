package main

// unicodeByDefault is whether the terminal of a program in no locale shows more
// than ASCII: every console does.
const unicodeByDefault = true

// suspend does nothing here: no key suspends a program.
func suspend() {}

// onResize does nothing here: no signal tells it. The next round sees it.
func onResize(func()) (stop func()) { return func() {} }
