package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// previewing is an agent that a rule matches as many processes of as it says.
type previewing struct {
	agent
	total int // below 0: it never answers
}

func (a *previewing) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	if a.total < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []dtc.RuleMatches{{Rule: want.Rules[0].Name, Total: a.total}}, nil
}

// Each host is asked side by side with the others and ends on its own.
func TestEach(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	good, _ := start(t, server, "127.0.0.1:0", &previewing{total: 7})
	hang, _ := start(t, server, "127.0.0.1:0", &previewing{total: -1})
	gone, stop := start(t, server, "127.0.0.1:0", &previewing{})
	stop()
	hosts := []Host{{Name: "gone", Address: gone}, {Name: "hang", Address: hang}, {Name: "good", Address: good}}
	f := newFleet(t, client)
	var mu sync.Mutex
	got, errs := make([]int, len(hosts)), make([]error, len(hosts))
	f.Each(t.Context(), hosts, time.Second, func(ctx context.Context, i int, c *wire.Client) {
		matches, err := c.Preview(ctx, dtc.Watching{Rules: []dtc.ProcessRule{{Name: "web", Exe: "x"}}})
		mu.Lock()
		defer mu.Unlock()
		if errs[i] = err; err == nil {
			got[i] = matches[0].Total
		}
	})
	if dtc.KindOf(errs[0]) != dtc.KindRefused || dtc.KindOf(errs[1]) != dtc.KindTimeout || errs[2] != nil || got[2] != 7 {
		t.Errorf("got %v, %v", got, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Each(ctx, hosts, time.Minute, func(ctx context.Context, i int, c *wire.Client) {
		if _, err := c.Preview(ctx, dtc.Watching{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the end: %v", hosts[i].Name, err)
		}
	})
}
