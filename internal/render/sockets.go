package render

import "dtc"

// ssAnswer renders as `ss -tunap`.
type ssAnswer struct{}

func newSSAnswer(_ Options) *ssAnswer { return &ssAnswer{} }

func (a *ssAnswer) append(b []byte, _ *dtc.Report) []byte { return b }
