package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"dtc/internal/bounds"
)

// mountLine is a line of mountinfo.
func mountLine(root, dir, kind, options string) string {
	return "30 23 0:26 " + root + " " + dir + " rw,nosuid shared:4 - " + kind + " source rw," + options + "\n"
}

func TestMemoryGroups(t *testing.T) {
	groups := t.TempDir()
	for name, text := range map[string]string{
		"v2/memory.events":               "oom_kill 99\n", // the root has none in fact
		"v2/a/memory.events.local":       "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n",
		"v2/a/memory.events":             "oom_kill 4\n",
		"v2/a/b/cgroup.procs":            "",
		"v2/old/memory.events":           "oom 2\noom_kill 5\n",
		"v1/s p/memory.oom_control":      "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
		"v1/memory.oom_control":          "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
		"v1/ancient/memory.oom_control":  "oom_kill_disable 0\nunder_oom 0\n",
		"v1/nonsense/memory.oom_control": "oom_kill x\n",
	} {
		path := filepath.Join(groups, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	v1, v2 := filepath.Join(groups, "v1"), filepath.Join(groups, "v2")
	other := mountLine("/", "/proc", "proc", "") + "nonsense\n" + mountLine("/", "/sys/fs/cgroup/cpu", "cgroup", "cpu,cpuacct")
	only2 := other + mountLine("/", v2, "cgroup2", "nsdelegate")
	both := only2 + mountLine("/", v1, "cgroup", "memory")
	inside := mountLine("/docker/4711", v2, "cgroup2", "")
	for _, c := range []struct {
		mounts, cgroup string
		kills          uint64
		err            error
	}{
		{only2, "0::/a\n", 3, nil},
		{only2, "0::/a/b\n", 3, nil}, // that counts nothing itself
		{only2, "0::/a (deleted)\n", 3, nil},
		{only2, "0::/old\n", 5, nil},
		{only2, "0::/../../elsewhere\n", 0, fs.ErrNotExist},
		{only2, "3:cpu:/a\n", 0, fs.ErrNotExist},
		{only2, "", 0, fs.ErrNotExist},
		{both, "4:memory:/s p\n0::/a\n", 6, nil},
		{both, "4:cpuset,memory:/gone/below\n0::/a\n", 7, nil},
		{both, "0::/a\n", 3, nil},
		{inside, "0::/docker/4711/a\n", 3, nil},
		{inside, "0::/docker/4711\n", 99, nil},
		{inside, "0::/docker/47112/a\n", 0, fs.ErrNotExist},
		{inside, "0::/\n", 0, fs.ErrNotExist},
	} {
		f := testTree(t, map[string]string{"self/mountinfo": c.mounts, "7/cgroup": c.cgroup})
		g, err := f.MemoryGroups()
		if err != nil {
			t.Fatal(err)
		}
		file, err := g.Counter(7)
		if !errors.Is(err, c.err) {
			t.Errorf("%q: %s, %v; want %v", c.cgroup, file, err, c.err)
			continue
		}
		if c.err != nil {
			continue
		}
		if kills, err := ReadOOMKills(file); err != nil || kills != c.kills {
			t.Errorf("%q: %s says %d, %v; want %d", c.cgroup, file, kills, err, c.kills)
		}
		if _, err := g.Counter(8); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nobody's group: %v", err)
		}
	}
	for _, name := range []string{"v1/ancient", "v1/nonsense"} {
		if kills, err := ReadOOMKills(filepath.Join(groups, name, "memory.oom_control")); err == nil {
			t.Errorf("%s says %d", name, kills)
		}
	}
	if _, err := testTree(t, map[string]string{"self/mountinfo": other}).MemoryGroups(); err == nil {
		t.Error("groups were found where none are mounted")
	}
}

func TestOOMKills(t *testing.T) {
	if _, err := Default.OOMKills(); err != nil {
		t.Error(err)
	}
	if n, err := testTree(t, map[string]string{"vmstat": "oom_killer 3\noom_kill 12\nx 1\n"}).OOMKills(); err != nil || n != 12 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := testTree(t, map[string]string{"vmstat": "nr_free_pages 3\n"}).OOMKills(); err == nil {
		t.Errorf("%d", n)
	}
}

func TestMemoryGroupOfOurselves(t *testing.T) {
	g, err := Default.MemoryGroups()
	if err != nil {
		t.Fatal(err)
	}
	file, err := g.Counter(os.Getpid())
	if errors.Is(err, fs.ErrNotExist) && g.first.dir == "" {
		return // in the first group of version 2, which counts nothing
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOOMKills(file); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func FuzzMemoryGroups(f *testing.F) {
	f.Add("4:memory:/s p\n0::/a\n", mountLine("/", "/sys", "cgroup2", "memory"))
	f.Add("0::/..\n", mountLine(`/a\040b`, `/x\134`, "cgroup", "memory"))
	f.Fuzz(func(t *testing.T, cgroup, mount string) {
		defer bounds.Alloc(t, len(cgroup)+len(mount))()
		first, other := groupsOf([]byte(cgroup))
		g := &MemoryGroups{}
		g.addMount(mount)
		for _, m := range []groupMount{g.first, g.other} {
			for _, group := range []string{first, other} {
				if file, err := m.find(group, "no such file"); err == nil {
					t.Fatalf("%q in %+v: found %s", group, m, file)
				}
			}
		}
	})
}
