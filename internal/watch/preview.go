package watch

import (
	"context"
	"errors"
	"io/fs"

	"dtc"
	"dtc/internal/proc"
)

const (
	// maxPreview is how many processes of a rule are told one by one.
	maxPreview = 100

	// previewText is how much text of processes an answer has, in bytes: beyond it
	// command lines are left out, and at twice as much names too.
	previewText = 3 << 20

	// maxNames is how much of the name of a process or a user is told, in bytes.
	maxNames = 256
)

// Preview tells which processes rules match, and which pids are there, now: the
// targets first, in their order. Nothing is watched for it.
func (w *Watcher) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	if err := checkTargets(want.Targets); err != nil {
		return nil, err
	}
	sels, err := newSelectors(want.Rules)
	if err != nil {
		return nil, err
	}
	p := preview{finder: w.finder}
	p.targets(ctx, want.Targets)
	p.rules(sels, p.finder.answers(ctx, sels))
	return p.matches, ctx.Err()
}

// preview collects an answer of a bounded size.
type preview struct {
	finder  *finder
	matches []dtc.RuleMatches
	text    int // bytes of text so far
}

// targets adds the processes with these pids.
func (p *preview) targets(ctx context.Context, targets []dtc.WatchTarget) {
	visits := make([]visit, len(targets))
	at := make(map[int]int, len(targets))
	for i, t := range targets {
		visits[i] = visit{t.PID, []trial{{selector: new(selector{kind: byPIDFile})}}}
		at[t.PID] = i
		p.matches = append(p.matches, dtc.RuleMatches{PID: t.PID})
	}
	err := p.finder.try(ctx, visits, func(h hit) {
		m := &p.matches[at[h.pid]]
		if h.gone || h.err != nil {
			return
		}
		if _, err := proc.Look(h.pid); errors.Is(err, fs.ErrNotExist) {
			return // it is a mere thread
		}
		m.Matches, m.Total = []dtc.Match{p.match(&h.found)}, 1
	})
	for i := range p.matches {
		m := &p.matches[i]
		if err != nil && m.Total == 0 {
			m.Problem = string(shorten([]byte(err.Error()), maxCommand))
		}
	}
}

// rules adds what rules come to.
func (p *preview) rules(sels []*selector, answers []answer) {
	for i, a := range answers {
		m := dtc.RuleMatches{Rule: sels[i].rule.Name, Total: a.total, Reason: string(shorten([]byte(a.problem), maxCommand))}
		if a.err != nil {
			m.Problem = string(shorten([]byte(a.err.Error()), maxCommand))
		}
		p.text += len(m.Problem) + len(m.Reason)
		for n := range a.found {
			if n == maxPreview || p.text > 2*previewText {
				break
			}
			m.Matches = append(m.Matches, p.match(&a.found[n]))
		}
		p.matches = append(p.matches, m)
	}
}

func (p *preview) match(f *found) dtc.Match {
	m := dtc.Match{ID: f.seen.ID}
	if p.text <= 2*previewText {
		m.Name, m.User = string(shorten([]byte(f.seen.Name), maxNames)), string(shorten([]byte(f.user), maxNames))
	}
	if p.text <= previewText {
		m.Command = f.command
	}
	p.text += len(m.Name) + len(m.User) + len(m.Command)
	return m
}
