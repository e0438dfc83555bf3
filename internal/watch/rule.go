package watch

import (
	"context"

	"dtc"
)

// rule is one rule of a session. All of it is guarded by Watcher.mu.
type rule struct {
	session *session
	spec    dtc.ProcessRule
}

// startRules gives the session its new set of rules, and queues what there is
// to say of each: who is alive, what is missing.
func (w *Watcher) startRules(ctx context.Context, c *call, rules []dtc.ProcessRule, sels []*selector) error {
	_, _, _, _ = ctx, c, rules, sels
	return nil
}

// checkRules is the rules' part of Check: of those with these names.
func (w *Watcher) checkRules(ctx context.Context, s *session, names []string) ([]dtc.Sighting, error) {
	_, _, _ = ctx, s, names
	return nil, nil
}
