package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dtc/internal/bounds"
)

const testMounts = `22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw
30 22 0:26 / /sys/fs/cgroup/with\040space rw,nosuid shared:4 - cgroup2 cgroup2 rw
31 22 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 22 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
33 22 0:29 / /x rw - cgroup cgroup rw,name=systemdx
broken - cgroup2
`

func TestUnitHierarchies(t *testing.T) {
	f := testTree(t, map[string]string{"self/mountinfo": testMounts})
	u, err := f.Units()
	if err != nil || !slices.Equal(u.roots, []string{"/sys/fs/cgroup/with space", "/sys/fs/cgroup/systemd"}) {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := testTree(t, map[string]string{"self/mountinfo": "broken\n"}).Units(); err == nil {
		t.Error("there are none")
	}
	if _, err := FS(t.TempDir()).Units(); err == nil {
		t.Error("there is nothing at all")
	}
}

func TestUnitName(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web.service", "web.service": "web.service", "user@1000": "user@1000.service", "a.b": "a.b.service", "x.scope": "x.scope",
		"system.slice": "system.slice", "docker.socket": "docker.socket",
	} {
		if got := UnitName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestFindUnits looks through folders like those of systemd.
func TestFindUnits(t *testing.T) {
	root := string(testTree(t, map[string]string{
		"system.slice/web.service/cgroup.procs":                                           "10\n12\n",
		"system.slice/web.service/sub/cgroup.procs":                                       "11\n0\n",
		"system.slice/system-getty.slice/getty@tty1.service/cgroup.procs":                 "20\n",
		"system.slice/_cpu.service/cgroup.procs":                                          "30\n",
		"user.slice/user-1000.slice/user@1000.service/app.slice/web.service/cgroup.procs": "66\n",
		"web.service.d/cgroup.procs":                                                      "1\n",
		"init.scope/cgroup.procs":                                                         "1\n",
		"bad.slice/nice.service/cgroup.procs":                                             "x\n-5\n99999999999\n7 8\n9\n\n9",
	}))
	u := &Units{roots: []string{root, "/none"}}
	names := []string{"web.service", "getty@tty1.service", "cpu.service", "none.service", "init.scope", "system.slice", "nice.service"}
	found := u.Find(names)
	for i, want := range []string{"[10 11 12]", "[20]", "[30]", "[]", "[1]", "", "[9]"} {
		var pids []int
		var err error
		for _, dir := range found[i] {
			pids, err = GroupPIDs(pids, dir)
		}
		if got := fmt.Sprint(pids); want != "" && (got != want || err != nil) {
			t.Errorf("%s: %s in %v, %v, want %s", names[i], got, found[i], err, want)
		}
	}
	if len(found[5]) != 1 {
		t.Errorf("a slice: %v", found[5])
	}
	if got := u.Usual("web.service"); !slices.Equal(got, []string{filepath.Join(root, "system.slice/web.service"), "/none/system.slice/web.service"}) {
		t.Errorf("%v", got)
	}
	if _, err := GroupPIDs(nil, filepath.Join(root, "none")); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func FuzzUnits(f *testing.F) {
	f.Add("10\n0\n12\n", testMounts)
	f.Fuzz(func(t *testing.T, procs, mounts string) {
		defer bounds.Alloc(t, len(procs)+len(mounts))()
		for _, pid := range appendGroup(nil, []byte(procs)) {
			if pid <= 0 {
				t.Errorf("%q: %d", procs, pid)
			}
		}
		for line := range strings.Lines(mounts) {
			if at, ok := unitHierarchy(line); ok && at == "" {
				t.Errorf("%q is mounted nowhere", line)
			}
		}
	})
}
