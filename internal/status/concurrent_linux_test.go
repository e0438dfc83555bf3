package status

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"dtc"
)

// TestAnswersSideBySide asks for everything at once, with and without a
// selection, and gives up in the middle of many an answer.
func TestAnswersSideBySide(t *testing.T) {
	const askers, rounds = 8, 25
	c := New(Options{})
	if f, err := os.Open("/proc/uptime"); err == nil { // the runtime opens what it waits with
		_ = f.Close()
	}
	before := openDescriptors(t)
	errGivenUp := errors.New("given up")
	selections := map[dtc.Status][]dtc.Selection{
		dtc.StatusProcess:   {{}, {Sort: "command", Limit: 3}, {Sort: "-rss"}, {Users: []string{"root"}, Limit: 2}, {Names: []string{"*"}}},
		dtc.StatusOpenFiles: {{}, {PIDs: []int{os.Getpid(), 1}}, {Sort: "name", Limit: 5}, {Paths: []string{"/**"}}},
		dtc.StatusSockets:   {{}, {Sort: "local_port"}, {Ports: []int{22}}},
		dtc.StatusDisk:      {{}, {Sort: "used"}}, dtc.StatusInterfaces: {{}, {Limit: 1}}, dtc.StatusUsers: {{}},
		dtc.StatusMemory: {{}}, dtc.StatusPlatform: {{}}, dtc.StatusCPU: {{}}, dtc.StatusServices: {{}},
	}
	var wg sync.WaitGroup
	for seed := range uint64(askers) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(time.Now().UnixNano())))
			for range rounds {
				status := dtc.Statuses()[random.IntN(len(dtc.Statuses()))].Status
				choices := selections[status]
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(100))*time.Millisecond)
				text := 0
				err := c.Get(ctx, dtc.Query{Status: status, Selection: choices[random.IntN(len(choices))]}, func(r *dtc.Report) error {
					for i := range r.Process {
						text += sum(r.Process[i].Name + r.Process[i].Command + r.Process[i].State)
					}
					for i := range r.OpenFiles {
						text += sum(r.OpenFiles[i].Name + r.OpenFiles[i].Command + r.OpenFiles[i].Node)
					}
					if random.IntN(10) == 0 {
						return errGivenUp
					}
					return nil
				})
				cancel()
				if err != nil && !errors.Is(err, errGivenUp) && !errors.Is(err, context.DeadlineExceeded) && status != dtc.StatusServices {
					t.Errorf("%s: %v", status, err)
				}
			}
		})
	}
	wg.Wait()
	c.host.stuck.sweepers.Wait()
	c.host.disks.askers.Wait()
	c.host.servers.askers.Wait()
	c.readings.all.Wait()
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	if n := len(c.host.stuck.readers); n != 0 {
		t.Errorf("%d processes count as stuck", n)
	}
}

// sum reads a text, for the race detector to see it.
func sum(text string) (n int) {
	for _, b := range []byte(text) {
		n += int(b)
	}
	return n
}

func openDescriptors(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}
