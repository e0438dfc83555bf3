package watch

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

// FuzzReadJournal reads any bytes as a journal, and restores what is in them.
func FuzzReadJournal(f *testing.F) {
	const head = `{"head":{"version":1,"boot":"b","since_boot_ns":5,"wall_ns":6}}` + "\n"
	const done = `{"done":true}` + "\n"
	f.Add([]byte(head + done))
	f.Add([]byte(head + `{"asker":"m","session":{"left_ns":7}}` + "\n" + `{"asker":"m","target":{"pid":4000001,"start":5,"name":["/w=="]}}` + "\n" + done))
	f.Add([]byte(head + `{"asker":"m","kept":{"run":"r","number":1,"state":"dead","pid":5,"signal":9,"at_ns":-9223372036854775808,"width_ns":9223372036854775807,"wall_ns":-9223372036854775808}}` + "\n" + done))
	f.Add([]byte(head + `{"asker":"m","kept":{"run":"r","number":1,"state":"restarted","rule":"web","post_mortem":{"cpu_ns":-1},"at_ns":1,"wall_ns":1}}` + "\n" + `{"asker":"m","dropped":{"run":"r","number":1}}` + "\n" + done))
	f.Add([]byte(head + `{"asker":"m","target":{"pid":4000001,"ended":true,"boot":"c"}}` + "\n" + `{"asker":"m","untarget":[4000001]}` + "\n" + `{"forget":"m"}` + "\n" + done + "torn"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		former, err := readJournal(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, s := range former.sessions { // processes of this machine are none of the fuzzer's
			for pid, r := range s.targets {
				if r.PID = pid | 1<<29; !r.Ended {
					r.Boot = "another"
				}
				delete(s.targets, pid)
				s.targets[r.PID] = r
			}
			clear(s.rules)
		}
		if len(former.sessions) > MaxAskers {
			t.Fatalf("%d askers", len(former.sessions))
		}
		w := New(Options{Run: "now", Logger: slog.New(slog.DiscardHandler)})
		w.boot = "b"
		w.alive = parseAlive(data).orHead(&former.head)
		w.restore(former)
		for asker := range w.sessions {
			if len(w.sessions[asker].kept) > MaxQueue {
				t.Fatalf("%d are kept", len(w.sessions[asker].kept))
			}
			c, err := w.begin(asker)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.flush(t.Context(), c, func(s dtc.Sighting) error {
				if s.Age < 0 || s.AgeMost != 0 && s.AgeMost < s.Age || s.AgeMost > noBound+now()+time.Hour || len(s.Name) > maxShortText || s.Number == 0 {
					t.Errorf("told %+v", s)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
