package render

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/status"
)

// pretend puts a file of ours in the place of one of the system, for tools that
// we start, and returns its path.
func pretend(t *testing.T, path, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(file, path, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
	return file
}

// Fields of a line of a processor in proc_stat(5).
const user, nice, guest, guestNice = 0, 1, 8, 9

// cpuStat is proc_stat(5) of a machine with processors that have spent so many
// ticks each; those that are offline have no line.
func cpuStat(processors int, offline map[int]bool, ticks func(cpu, field int) uint64) string {
	var sum [10]uint64
	var lines strings.Builder
	for cpu := range processors {
		if offline[cpu] {
			continue
		}
		fmt.Fprintf(&lines, "cpu%d", cpu)
		for field := range sum {
			n := ticks(cpu, field)
			if field == user || field == nice { // they hold the time of guests
				n += ticks(cpu, field+guest-user)
			}
			sum[field] += n
			fmt.Fprintf(&lines, " %d", n)
		}
		lines.WriteByte('\n')
	}
	return fmt.Sprintf("cpu  %s\n%sintr 1 2 3\nctxt 5\n", strings.Trim(fmt.Sprint(sum), "[]"), lines.String())
}

// TestCPUOfOtherHostsAsMPStat lets mpstat see other processors than there are.
func TestCPUOfOtherHostsAsMPStat(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	some := func(cpu, field int) uint64 { return uint64(cpu+1) * uint64(field*field+3) }
	for name, test := range map[string]struct {
		processors int
		offline    map[int]bool
		before     func(cpu, field int) uint64
		spent      func(cpu, field int) uint64
	}{
		"one":     {1, nil, some, some},
		"many":    {130, nil, some, func(cpu, field int) uint64 { return uint64(cpu*31+field*7) % 101 }},
		"offline": {12, map[int]bool{1: true, 2: true, 11: true}, some, some},
		"large": {4, nil, func(int, int) uint64 { return 1 << 45 }, func(cpu, field int) uint64 {
			return uint64(1000*cpu) + uint64(field)
		}},
		"guests": {3, nil, some, func(_, field int) uint64 {
			return map[int]uint64{user: 10, nice: 0, guest: 60, guestNice: 20, 3: 10}[field]
		}},
		"asleep": {3, nil, some, func(cpu, field int) uint64 { return uint64(cpu*field) * 10 }},
	} {
		before := cpuStat(test.processors, test.offline, test.before)
		after := cpuStat(test.processors, test.offline, func(cpu, field int) uint64 { return test.before(cpu, field) + test.spent(cpu, field) })
		t.Run(name, func(t *testing.T) {
			theirs := pretend(t, "/proc/stat", before)
			root := t.TempDir()
			if err := errors.Join(os.Mkdir(root+"/proc", 0o755), os.WriteFile(root+"/proc/stat", []byte(before), 0o644),
				os.WriteFile(root+"/proc/loadavg", []byte("0 0 0 1/2 3"), 0o644),
				syscall.Mount("cpus", "/sys/devices/system/cpu", "tmpfs", 0, "")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { syscall.Unmount("/sys/devices/system/cpu", syscall.MNT_DETACH) })
			for cpu := range test.processors {
				dir := "devices/system/cpu/cpu" + strconv.Itoa(cpu)
				if err := errors.Join(os.MkdirAll("/sys/"+dir, 0o755), os.MkdirAll(root+"/sys/"+dir, 0o755)); err != nil {
					t.Fatal(err)
				}
				if cpu > 0 {
					state := "1"
					if test.offline[cpu] {
						state = "0"
					}
					if err := os.WriteFile("/sys/"+dir+"/online", []byte(state), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			write := func(content string) {
				if err := errors.Join(os.WriteFile(theirs, []byte(content), 0o644), os.WriteFile(root+"/proc/stat", []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			var got, want string
			for range 10 { // until both look the first time before, and the second time after
				write(before)
				var both sync.WaitGroup
				both.Go(func() { want = averages(run(t, "S_TIME_FORMAT=", "mpstat", "-P", "ALL", "1", "1")) })
				both.Go(func() { got = averages(cpuOf(t, status.New(status.Options{Root: root}))) })
				time.Sleep(500 * time.Millisecond)
				write(after)
				both.Wait()
				if got == want {
					break
				}
			}
			compare(t, got, want)
		})
	}
}

// cpuOf is the text of c's answer, without the line of uptime.
func cpuOf(t *testing.T, c *status.Collector) (mpstat string) {
	t.Helper()
	err := c.Get(t.Context(), dtc.Query{Status: dtc.StatusCPU}, func(r *dtc.Report) error {
		_, mpstat, _ = strings.Cut(text(t, r, Options{}), "\n")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return mpstat
}

// averages are the lines without a time.
func averages(mpstat string) string {
	header, rest, _ := strings.Cut(mpstat, "\n")
	if at := strings.Index(rest, "Average:"); at >= 0 {
		rest = rest[at:]
	}
	return header + "\n" + rest
}

// TestUptimeAsTool lets uptime see other figures than there are.
func TestUptimeAsTool(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	if err := syscall.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	var users []byte
	c := status.New(status.Options{})
	const minute, hour, day = 60, 3600, 86400
	for i, seconds := range []float64{
		0, 0.99, 59.99, minute, 59*minute + 59, hour, hour + minute, 9*hour + 59*minute, 10 * hour, 23*hour + 59*minute + 59, day, day + 59, day + minute,
		day + hour, 2*day - 1, 2 * day, 9*day + hour*9 + minute*9, 99 * day, 400*day + 11*hour, 7*365*day + 3*minute,
	} {
		load := fmt.Sprintf("%d.%02d %.2f %.2f", i*i, i, float64(i)*1.55, 1000-float64(i))
		if err := os.WriteFile("/run/utmp", users, 0o644); err != nil {
			t.Fatal(err)
		}
		users = append(users, utmpRecord(7, "pts/0", "root", "", 1)...)
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			pretend(t, "/proc/uptime", fmt.Sprintf("%.2f 100.00\n", seconds))
			pretend(t, "/proc/loadavg", load+" 1/200 3000\n")
			var got string
			err := c.Get(t.Context(), dtc.Query{Status: dtc.StatusCPU}, func(r *dtc.Report) error {
				got, _, _ = strings.Cut(text(t, r, Options{}), "\n")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			const clock = len(" 00:00:00")
			if want := strings.TrimSuffix(run(t, "", "uptime"), "\n"); got[clock:] != want[clock:] {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}
