package wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

func TestWatchTellsAtOnce(t *testing.T) {
	targets := *sampleWatching()
	sightings := make(chan dtc.Sighting)
	ended := make(chan struct{})
	r := serve(t, &Server{Agent: &fakeAgent{
		watch: func(ctx context.Context, asker string, got dtc.Watching, emit func(dtc.Sighting) error) error {
			defer close(ended)
			if asker != "m1" || !reflect.DeepEqual(got, targets) {
				t.Errorf("%q watches %v", asker, got)
			}
			for {
				select {
				case s := <-sightings:
					if err := emit(s); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		},
	}})
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	seen := make(chan dtc.Sighting)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		err := r.client(t, r.monitor).Watch(ctx, targets, func(s dtc.Sighting) error {
			seen <- s
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Watch = %v", err)
		}
	})
	exits := []dtc.Exit{{}, {Kind: dtc.ExitCode}, {Kind: dtc.ExitCode, Number: 3}, {Kind: dtc.ExitSignal, Number: 9}}
	for i, exit := range exits {
		want := *sampleSighting()
		want.Number, want.Exit = uint64(i), exit
		began := time.Now()
		sightings <- want
		got := <-seen
		if got.Age < want.Age || got.Age > want.Age+5*time.Second { // and what it was held up on its way
			t.Errorf("seen with an age of %s, sent with %s", got.Age, want.Age)
		}
		if got.AgeMost-want.AgeMost != got.Age-want.Age {
			t.Errorf("the bounds of the age became %s and %s", got.Age, got.AgeMost)
		}
		got.Age, got.AgeMost = want.Age, want.AgeMost
		if !reflect.DeepEqual(got, want) {
			t.Errorf("saw %+v, want %+v", got, want)
		}
		if i > 0 && time.Since(began) > time.Second {
			t.Errorf("it took %s", time.Since(began))
		}
	}
	cancel()
	<-ended
}

func TestCheckAndAcknowledge(t *testing.T) {
	want := []dtc.Sighting{
		{State: dtc.StateMissing, Process: dtc.ProcessID{PID: 3}},
		{State: dtc.StateAlive, Process: dtc.ProcessID{PID: 4, Start: 1}},
		{State: "of a later version", Process: dtc.ProcessID{PID: 5}},
	}
	var acked string
	r := serve(t, &Server{Agent: &fakeAgent{
		check: func(_ context.Context, asker string, pids []int, rules []string) ([]dtc.Sighting, error) {
			if asker != "m1" || !slices.Equal(pids, []int{3, 4}) || !slices.Equal(rules, []string{"web"}) {
				return nil, fmt.Errorf("%s checks %v %q", asker, pids, rules)
			}
			return want, nil
		},
		ack: func(_ context.Context, asker, run string, number uint64) error {
			acked = fmt.Sprint(asker, " ", run, " ", number)
			return nil
		},
	}})
	c := r.client(t, r.monitor)
	got, err := c.Check(within(t, 5*time.Second), []int{3, 4}, []string{"web"})
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	if err := c.Acknowledge(within(t, 5*time.Second), "run", math.MaxUint64); err != nil || acked != "m1 run 18446744073709551615" {
		t.Errorf("Acknowledge = %v; the agent got %q", err, acked)
	}
}

func TestPreview(t *testing.T) {
	want := *sampleWatching()
	r := serve(t, &Server{Agent: &fakeAgent{look: func(_ context.Context, got dtc.Watching) ([]dtc.RuleMatches, error) {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("asked for %+v", got)
		}
		return sampleMatches(), nil
	}}})
	c := r.client(t, r.monitor)
	if got, err := c.Preview(within(t, 5*time.Second), want); err != nil || !reflect.DeepEqual(got, sampleMatches()) {
		t.Errorf("Preview = %+v, %v", got, err)
	}
	for _, wrong := range []dtc.ProcessRule{{Match: strings.Repeat("x", maxCondition+1)}, {Name: strings.Repeat("x", maxShort+1)}, {Port: 65536}, {Min: -1}} {
		if _, err := c.Preview(within(t, 5*time.Second), dtc.Watching{Rules: []dtc.ProcessRule{wrong}}); dtc.KindOf(err) != dtc.KindInvalid {
			t.Errorf("Preview of %.50q = %v", wrong.Match+wrong.Name, err)
		}
	}
	if _, err := c.Preview(within(t, 5*time.Second), dtc.Watching{Rules: make([]dtc.ProcessRule, maxRules+1)}); dtc.KindOf(err) != dtc.KindInvalid {
		t.Errorf("Preview of too many rules = %v", err)
	}
}

// A watch in which nothing happens goes on, however long that lasts, before its
// first sighting and behind the last.
func TestQuietWatchGoesOn(t *testing.T) {
	limit := defaultLimits()
	limit.stall = 50 * time.Millisecond
	tell := make(chan struct{})
	r := serve(t, &Server{limits: limit, Agent: &fakeAgent{
		watch: func(ctx context.Context, _ string, _ dtc.Watching, emit func(dtc.Sighting) error) error {
			for {
				select {
				case <-tell:
					if err := emit(dtc.Sighting{State: dtc.StateAlive}); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		},
	}})
	ctx, cancel := context.WithCancel(t.Context())
	seen, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.client(t, r.monitor).Watch(ctx, dtc.Watching{Targets: []dtc.WatchTarget{{PID: 1}}}, func(dtc.Sighting) error {
			seen <- struct{}{}
			return nil
		})
	}()
	for range 3 {
		time.Sleep(3 * limit.stall)
		select {
		case tell <- struct{}{}:
		case err := <-ended:
			t.Fatalf("the watch ended: %v", err)
		}
		select {
		case <-seen:
		case err := <-ended:
			t.Fatalf("the watch ended: %v", err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}
