package wire

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dtc"
)

func TestSelectionReachesTheAgent(t *testing.T) {
	var asked dtc.Query
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
		asked = q
		for _, partial := range []bool{true, false} {
			if err := emit(&dtc.Report{Process: processes(2), Partial: partial}); err != nil {
				return err
			}
		}
		return nil
	}}})
	c := r.client(t, r.monitor)
	for _, want := range []dtc.Selection{
		{},
		{PIDs: []int{0, 1, 1 << 22}},
		{Limit: 1},
		{Sort: "-rss_bytes"},
		{Users: []string{"root", "\xff"}, Names: []string{"/^a/", "b*"}, Paths: []string{"/var/**"}, Ports: []int{1, 65535}, Sort: "x", Limit: 7},
		{Names: slices.Repeat([]string{strings.Repeat("x", 900)}, dtc.MaxSelected)},
	} {
		n := 0
		err := c.Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess, Selection: want}, func(part *dtc.Report) error {
			n += len(part.Process)
			return nil
		})
		if err != nil || n != 4 || !reflect.DeepEqual(asked.Selection, want) {
			t.Errorf("%d items, %v: asked %+v, want %+v", n, err, asked.Selection, want)
		}
	}
}

func TestHostileSelections(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{get: func(context.Context, dtc.Query, func(*dtc.Report) error) error {
		return fmt.Errorf("the agent was asked")
	}}})
	c := r.client(t, r.monitor)
	long := strings.Repeat("x", dtc.MaxSelectedText+1)
	for _, s := range []dtc.Selection{
		{PIDs: make([]int, dtc.MaxSelected+1)},
		{Users: slices.Repeat([]string{"a"}, dtc.MaxSelected+1)},
		{Names: slices.Repeat([]string{"a"}, dtc.MaxSelected+1)},
		{Paths: slices.Repeat([]string{"a"}, dtc.MaxSelected+1)},
		{Ports: make([]int, dtc.MaxSelected+1)},
		{Users: []string{long}},
		{Names: []string{"a", long}},
		{Paths: []string{long}},
		{Sort: long},
	} {
		err := c.Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess, Selection: s}, func(*dtc.Report) error { return nil })
		if dtc.KindOf(err) != dtc.KindInvalid || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%.100v: %v (%s)", s, err, dtc.KindOf(err))
		}
	}
}

// Numbers that are no pid and no port stay impossible, whatever the size of an int.
func TestSelectionNumbers(t *testing.T) {
	s, err := (&SelectionMessage{Pids: []int64{1 << 40, -5, 3}, Ports: []int64{1 << 33}, Limit: 1 << 62}).selection()
	if err != nil || !slices.Equal(s.PIDs, []int{-1, -5, 3}) || s.Ports[0] != -1 || s.Limit != maxAnswerRows {
		t.Errorf("%+v, %v", s, err)
	}
	if s.Check(dtc.StatusSockets) == nil {
		t.Error("it makes sense")
	}
}

// An agent that does not know selections answers all. The asker must not take
// that for what was chosen.
func TestAgentOlderThanSelections(t *testing.T) {
	c := against(t, stream(envelope(0, &PartMessage{Process: &ProcessColumns{Pid: []int64{1}}}), []byte("\x02\x00\x00\x00\x02{}")))
	emitted := 0
	get := func(s dtc.Selection) error {
		return c.Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess, Selection: s}, func(*dtc.Report) error {
			emitted++
			return nil
		})
	}
	if err := get(dtc.Selection{Limit: 3}); dtc.KindOf(err) != dtc.KindInvalid || emitted != 0 || !strings.Contains(err.Error(), "older") {
		t.Errorf("%d parts, %v", emitted, err)
	}
	if err := get(dtc.Selection{}); err != nil || emitted != 1 {
		t.Errorf("%d parts, %v", emitted, err)
	}
}

// An agent that knows selections, but not every criterion of this one, refuses.
func TestSelectionOfTheFuture(t *testing.T) {
	m := &SelectionMessage{Limit: 3}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendString(protowire.AppendTag(b, 100, protowire.BytesType), "a criterion of the future")
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	if _, err := m.selection(); dtc.KindOf(err) != dtc.KindInvalid || !strings.Contains(err.Error(), "older") {
		t.Errorf("err = %v", err)
	}
}

// The agent knows how long it is waited for, and may take longer all the same: the
// asker's reader may be slow.
func TestTimeoutIsAHint(t *testing.T) {
	var left time.Duration
	var known bool
	r := serve(t, &Server{Agent: &fakeAgent{get: func(ctx context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		by, ok := ctx.Deadline()
		left, known = time.Until(by), ok
		if ok {
			time.Sleep(left + 100*time.Millisecond)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return emit(&dtc.Report{})
	}}})
	c := r.client(t, r.monitor)
	for _, timeout := range []time.Duration{0, 200 * time.Millisecond} {
		q := dtc.Query{Status: dtc.StatusProcess, Timeout: timeout}
		err := c.Get(t.Context(), q, func(*dtc.Report) error { return nil })
		if err != nil || known != (timeout > 0) || known && left > timeout {
			t.Errorf("%s: %s left, %v, %v", timeout, left, known, err)
		}
	}
}
