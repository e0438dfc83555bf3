package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeServers answer at once, after a time, or when they are woken.
type fakeServers struct {
	slow  map[string]time.Duration
	dead  map[string]chan struct{}
	mu    sync.Mutex
	asked map[string]int
}

func (s *fakeServers) answer(name string) string {
	s.mu.Lock()
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	s.asked[name]++
	s.mu.Unlock()
	if wake := s.dead[name]; wake != nil {
		<-wake
	}
	time.Sleep(s.slow[name])
	return "room of " + name
}

// inquire asks, and returns the names that answered and how long that took.
func (s *fakeServers) inquire(tb testing.TB, of *fileSystems, names ...string) (map[string]bool, time.Duration) {
	tb.Helper()
	start := time.Now()
	answers, err := askFileSystems(tb.Context(), of, names, func(i int) string { return s.answer(names[i]) })
	if err != nil {
		tb.Fatal(err)
	}
	answered := make(map[string]bool)
	for i, text := range answers {
		if text != "room of "+names[i] {
			tb.Errorf("%s answered %q", names[i], text)
		}
		answered[names[i]] = true
	}
	return answered, time.Since(start)
}

func TestFileSystemsThatAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of fileSystems
		if got, took := new(fakeServers).inquire(t, &of, "a", "b", "a", "c"); len(got) != 3 || took != 0 {
			t.Errorf("%v after %v", got, took)
		}
		if got, _ := new(fakeServers).inquire(t, &of); len(got) != 0 {
			t.Errorf("none: %v", got)
		}
		slow := &fakeServers{slow: map[string]time.Duration{"a": 300 * time.Millisecond, "c": 49 * time.Millisecond, "e": time.Second}}
		got, took := slow.inquire(t, &of, "a", "b", "c", "d", "e", "a")
		if len(got) != 5 || took > 1200*time.Millisecond {
			t.Errorf("slow ones: %v after %v", got, took)
		}
		if n, _ := slow.times("a"); n != 2 {
			t.Errorf("asked %d times", n)
		}
		of.askers.Wait()
		checkNothingStuck(t, &of)
	})
}

// questions tells how many there are without a reply.
func (f *fileSystems) questions() (late, stuck int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.late, len(f.stuck)
}

// times tells how often a server was asked, and how many were.
func (s *fakeServers) times(name string) (times, servers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name], len(s.asked)
}

func checkNothingStuck(tb testing.TB, of *fileSystems) {
	tb.Helper()
	if late, stuck := of.questions(); late != 0 || stuck != 0 {
		tb.Errorf("%d late, %d stuck", late, stuck)
	}
}

func TestFileSystemThatIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of fileSystems
		wake := make(chan struct{})
		s := &fakeServers{dead: map[string]chan struct{}{"dead": wake}}
		names := []string{"a", "dead", "b", "dead", "c", "dead"}
		for range 3 {
			if got, took := s.inquire(t, &of, names...); len(got) != 3 || got["dead"] || took > longestInquiry {
				t.Errorf("%v after %v", got, took)
			}
		}
		asked, _ := s.times("dead")
		if late, stuck := of.questions(); asked != 1 || late != 1 || stuck != 1 {
			t.Errorf("asked %d times; %d late, %d stuck", asked, late, stuck)
		}
		// What is stuck already costs no time any more.
		if _, took := s.inquire(t, &of, names...); took != 0 {
			t.Errorf("took %v", took)
		}
		close(wake)
		of.askers.Wait()
		checkNothingStuck(t, &of)
		if got, _ := s.inquire(t, &of, names...); len(got) != 4 {
			t.Errorf("after it came back: %v", got)
		}
	})
}

func TestManyDeadFileSystems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of fileSystems
		s := &fakeServers{dead: make(map[string]chan struct{})}
		var names []string
		for i := range 200 {
			name := fmt.Sprint(i)
			s.dead[name] = make(chan struct{})
			names = append(names, name)
		}
		for range 3 {
			if got, took := s.inquire(t, &of, names...); len(got) != 0 || took > longestInquiry {
				t.Errorf("%v after %v", got, took)
			}
			_, asked := s.times("")
			if late, stuck := of.questions(); late != maxLate || stuck != maxLate || asked != maxLate {
				t.Errorf("%d late, %d stuck, %d asked", late, stuck, asked)
			}
		}
		for _, wake := range s.dead {
			close(wake)
		}
		of.askers.Wait()
		checkNothingStuck(t, &of)
	})
}

func TestInquiryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of fileSystems
		wake := make(chan struct{})
		s := &fakeServers{dead: map[string]chan struct{}{"dead": wake}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		answers, err := askFileSystems(ctx, &of, []string{"a", "dead"}, func(i int) string { return s.answer([]string{"a", "dead"}[i]) })
		if err != nil || len(answers) != 1 || time.Since(start) > 500*time.Millisecond {
			t.Errorf("%v, %v after %v: the answer must come before who asks gives up", answers, err, time.Since(start))
		}
		cancel()
		if _, err := askFileSystems(ctx, &of, []string{"dead"}, func(int) string { <-wake; return "" }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(wake)
		of.askers.Wait()
		checkNothingStuck(t, &of)
	})
}
