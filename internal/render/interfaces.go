package render

import "dtc"

// ipAnswer renders as `ip -s link`.
type ipAnswer struct{}

func newIPAnswer(_ Options) *ipAnswer { return &ipAnswer{} }

func (a *ipAnswer) append(b []byte, _ *dtc.Report) []byte { return b }
