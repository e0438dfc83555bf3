package watch

import "dtc"

// vitals is what a process was last seen to use.
type vitals struct{}

// postMortem returns what is known of a process that has ended this moment; nil
// if that is nothing. w.mu is held.
func (w *Watcher) postMortem(p *process) *dtc.PostMortem {
	_ = p
	return nil
}
