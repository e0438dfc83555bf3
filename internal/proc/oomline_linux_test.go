package proc

import (
	"strings"
	"testing"

	"dtc/internal/bounds"
)

func TestOOMVictim(t *testing.T) {
	const sizes = " total-vm:1232kB, anon-rss:9kB, file-rss:0kB, shmem-rss:0kB"
	for record, want := range map[string]int{
		// Linux 6.18 and 5.10: the whole record, with the device it is of behind it.
		"3,1188,21693117484,-;Memory cgroup out of memory: Killed process 4711 (eater)" + sizes + ", UID:0 pgtables:60kB oom_score_adj:0\n": 4711,
		"3,1,5,-,caller=T7;Out of memory: Killed process 12 (java)" + sizes + "\n SUBSYSTEM=x\n DEVICE=+y\n":                                12,
		"3,1,5,-;Out of memory (oom_kill_allocating_task): Killed process 1 (init)" + sizes + "\n":                                          1,
		// Linux 4.4 to 5.0.
		"3,1,5,-;Killed process 31 (mysqld)" + sizes + "\n":                                               31,
		"3,1,5,-;Out of memory: Kill process 31 (mysqld) score 909 or sacrifice child\n":                  0,
		"3,1,5,-;Memory cgroup out of memory: Kill process 31 (mysqld) score 909 or sacrifice child\n":    0,
		"6,1,5,-;oom_reaper: reaped process 31 (mysqld), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n": 0,
		"6,1,5,-;Tasks in /a are going to be killed due to memory.oom.group set\n":                        0,
		"6,1,5,-;Out of memory: OOM victim 31 (mysqld) is already exiting. Skip killing the task\n":       0,
		"6,1,5,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a,task=eater,pid=31,uid=0\n":            0,
		"4,1,5,-;Killed process 7 ( invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n":            7, // see below
		"4,1,5,-;x invoked oom-killer: Killed process 7 (y)\n":                                            0,
		"3,1,5,-;Out of memory: Killed process 8 (Killed process 9 () total-vm:0kB\n":                     8,
		"3,1,5,-;Out of memory: Killed process 8 ()\\x0a3,1,5,-;Killed process 9 (z)\n":                   8,
		"3,1,5,-;Out of memory: Out of memory: Killed process 8 (a)\n":                                    0,
		"11,1,5,-;Out of memory: Killed process 8 (somebody wrote this)\n":                                0,
		"-3,1,5,-;Out of memory: Killed process 8 (a)\n":                                                  0,
		"+3,1,5,-;Out of memory: Killed process 8 (a)\n":                                                  0,
		"3;Out of memory: Killed process 8 (a)\n":                                                         0,
		",1,5,-;Out of memory: Killed process 8 (a)\n":                                                    0,
		"Out of memory: Killed process 8 (a)\n":                                                           0,
		"3,1,5,-;Out of memory: Killed process -8 (a)\n":                                                  0,
		"3,1,5,-;Out of memory: Killed process 0 (a)\n":                                                   0,
		"3,1,5,-;Out of memory: Killed process  8 (a)\n":                                                  0,
		"3,1,5,-;Out of memory: Killed process 4194305 (a)\n":                                             0,
		"3,1,5,-;Out of memory: Killed process 18446744073709551617 (a)\n":                                0,
		"3,1,5,-;Out of memory: Killed process 8\n":                                                       0,
		"3,1,5,-;Out of memory: Killed process \n":                                                        0,
		"3,1,5,-;\n": 0,
		"":           0,
	} {
		pid, ok := OOMVictim([]byte(record))
		if pid != want || ok != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", record, pid, ok, want)
		}
	}
}

// The one record above that somebody can forge, by a name that begins like the
// line of old kernels, does not fit: a short name has 15 bytes.
func TestOOMVictimCannotBeForgedByAName(t *testing.T) {
	const longestName = 15
	if len("Killed process 7") <= longestName {
		t.Error("a process can have the name \"Killed process 7\"")
	}
}

func FuzzOOMVictim(f *testing.F) {
	f.Add("3,1,5,-;", "Out of memory: ", "7", "(a) total-vm")
	f.Add("6,1,5,c;", "Memory cgroup out of memory: ", "4194304", "")
	f.Fuzz(func(t *testing.T, head, reason, pid, rest string) {
		defer bounds.Alloc(t, len(head)+len(reason)+len(pid)+len(rest))()
		record := head + reason + "Killed process " + pid + " (" + rest
		n, ok := OOMVictim([]byte(record))
		if ok != (n != 0) || n < 0 || n > maxPID {
			t.Fatalf("%q: %d, %v", record, n, ok)
		}
		if ok && !strings.Contains(record, ";") {
			t.Fatalf("%q has no head", record)
		}
	})
}
