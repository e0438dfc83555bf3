package ca

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

// files returns the content of every file of a folder but the lock.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		if e.Name() != lockFile {
			all[e.Name()] = string(data)
		}
	}
	return all
}

func TestInit(t *testing.T) {
	f := newFleet(t)
	made := files(t, f.dir)
	for _, name := range []string{"ca.crt", "ca.key", "monitor.crt", "monitor.key", "issued"} {
		if made[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if len(made) != 5 {
		t.Errorf("made %d files, want 5", len(made))
	}
	if life := f.signing.Load().cert.NotAfter.Sub(f.clock.now()); life < 3650*24*time.Hour || life > 3654*24*time.Hour {
		t.Errorf("the CA lives %v", life)
	}
	if begun := f.clock.now().Sub(f.signing.Load().cert.NotBefore); begun < backdate {
		t.Errorf("the CA began %v ago", begun)
	}

	t.Run("again", func(t *testing.T) {
		for _, addrs := range [][]string{{"10.0.0.5"}, {}} {
			must(t, f.opts.Init(f.dir, ips(addrs...)))
			for name, now := range files(t, f.dir) {
				if now != made[name] {
					t.Errorf("%s was changed", name)
				}
			}
		}
	})
	t.Run("another address", func(t *testing.T) {
		before := f.monitor(t).Peer()
		must(t, f.opts.Init(f.dir, ips("0.0.0.0", "10.0.0.6")))
		must(t, f.Reload())
		after := f.monitor(t).Peer()
		if after.ID != before.ID || !sameIPs(after.IPs, ips("10.0.0.6")) || !f.Valid(after) || len(f.Issued()) != 1 {
			t.Errorf("before %+v, after %+v; register %+v", before, after, f.Issued())
		}
		if now := files(t, f.dir); now["monitor.key"] != made["monitor.key"] || now["ca.key"] != made["ca.key"] {
			t.Error("a key was overwritten")
		}
	})
}

// Init was cut off after any of its steps: the next one completes it and keeps
// what is there.
func TestInitCompletes(t *testing.T) {
	order := []string{"ca.key", "ca.crt", "issued", "monitor.key", "monitor.crt"}
	for n := range order {
		f := newFleet(t)
		before := files(t, f.dir)
		for _, name := range order[n:] {
			must(t, os.Remove(f.path(name)))
		}
		must(t, f.opts.Init(f.dir, nil))
		after := files(t, f.dir)
		for i, name := range order {
			if i < n && strings.HasSuffix(name, ".key") && after[name] != before[name] {
				t.Errorf("after %d steps: %s was overwritten", n, name)
			}
		}
		a := f.reopen(t, f.dir)
		if p := f.monitor(t).Peer(); !a.Valid(p) {
			t.Errorf("after %d steps: the monitor's certificate is not in the register", n)
		}
	}
	t.Run("the register is lost", func(t *testing.T) {
		f := newFleet(t)
		agent := f.agent(t, "web1", "10.0.0.7").Peer()
		must(t, os.Remove(f.path(registerFile)))
		if _, err := f.opts.Open(f.dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("opened without a register: %v", err)
		}
		must(t, f.opts.Init(f.dir, nil))
		if a := f.reopen(t, f.dir); a.Valid(agent) || !a.Valid(f.monitor(t).Peer()) {
			t.Error("who is not in the register is valid, or the monitor is not")
		}
	})
}

func TestInitRaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Init(dir, ips("10.0.0.5")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a, err := Open(dir)
	must(t, err)
	if n := len(a.Issued()); n != 1 {
		t.Errorf("%d certificates in the register, want the monitor's alone", n)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Run("an agent's home", func(t *testing.T) {
		f := newFleet(t)
		key, cert, root, _, err := f.Issue("web1", ips("10.0.0.7"))
		must(t, err)
		dir := filepath.Join(t.TempDir(), "tls")
		must(t, StoreAgent(dir, key, cert, root))
		before := files(t, dir)
		if err := Init(dir, nil); err == nil || !strings.Contains(err.Error(), "another monitor") {
			t.Errorf("%v", err)
		}
		if after := files(t, dir); len(after) != len(before) {
			t.Errorf("files %v were made", after)
		}
	})
	t.Run("a damaged key", func(t *testing.T) {
		f := newFleet(t)
		must(t, os.WriteFile(f.path("ca.key"), []byte("damaged"), 0o600))
		if err := f.opts.Init(f.dir, nil); err == nil {
			t.Error("accepted")
		}
		if files(t, f.dir)["ca.key"] != "damaged" {
			t.Error("a key was overwritten")
		}
	})
	t.Run("another CA's key", func(t *testing.T) {
		f, other := newFleet(t), newFleet(t)
		data, err := os.ReadFile(other.path("ca.key"))
		must(t, err)
		must(t, os.WriteFile(f.path("ca.key"), data, 0o600))
		if err := f.opts.Init(f.dir, nil); err == nil || !strings.Contains(err.Error(), "do not belong together") {
			t.Errorf("%v", err)
		}
	})
	t.Run("addresses of nobody", func(t *testing.T) {
		if err := Init(filepath.Join(t.TempDir(), "x"), ips("224.0.0.1")); err == nil {
			t.Error("accepted")
		}
	})
}

func TestOpenChecksTheClock(t *testing.T) {
	f := newFleet(t)
	f.clock.advance(-48 * time.Hour)
	if _, err := f.opts.Open(f.dir); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("opened before the CA began: %v", err)
	}
	f.clock.advance(11 * 366 * 24 * time.Hour)
	if _, err := f.opts.Open(f.dir); err == nil || !strings.Contains(err.Error(), "the fleet's CA ended on") {
		t.Errorf("opened after the CA's end: %v", err)
	}
	if err := f.opts.Init(f.dir, nil); err == nil {
		t.Error("init accepts a CA that has ended")
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "dtc init") {
		t.Errorf("opened an empty folder: %v", err)
	}
}

func TestIssue(t *testing.T) {
	f := newFleet(t)
	key, cert, root, id, err := f.Issue("web1", ips("10.0.0.7", "::ffff:10.0.0.7", "fd00::7"))
	must(t, err)
	if !bytes.Contains(key, []byte("PRIVATE KEY")) || !bytes.Contains(root, []byte("CERTIFICATE")) {
		t.Error("no key or CA")
	}
	c, err := decodeCertificate(cert)
	must(t, err)
	if life := c.NotAfter.Sub(f.clock.now()); life < 364*24*time.Hour || life > 367*24*time.Hour {
		t.Errorf("an agent's certificate lives %v", life)
	}
	r := f.Issued()[1]
	if r.ID != id || r.Name != "web1" || r.Role != dtc.RoleAgent || !sameIPs(r.IPs, ips("10.0.0.7", "fd00::7")) || !r.Expires.Equal(c.NotAfter) {
		t.Errorf("register %+v", r)
	}
	for name, tt := range map[string]struct {
		name string
		ips  []string
		text string
	}{
		"same name":      {"web1", []string{"10.0.0.8"}, "dtc revoke web1"},
		"same ip":        {"web2", []string{"10.0.0.8", "fd00::7"}, "the address fd00::7 is in another"},
		"no ip":          {"web2", nil, "--ip"},
		"another's ip":   {"10.0.0.7", []string{"10.0.0.8"}, "not granted"},
		"a path":         {"../x", []string{"10.0.0.8"}, "must not hold"},
		"nobody's ip":    {"web2", []string{"::"}, "not the address of a host"},
		"every link's":   {"web2", []string{"fe80::1"}, "another host on every link"},
		"another's zone": {"web2", []string{"fe80::1%eth0"}, "another host on every link"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, _, err := f.Issue(tt.name, ips(tt.ips...))
			if err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v does not say %q in one line", err, tt.text)
			}
		})
	}
	// The monitor's host may have an agent.
	f.agent(t, "monitor", "10.0.0.5")
}

func TestIssueNearTheEndOfTheCA(t *testing.T) {
	f := newFleet(t)
	f.clock.advance(3600 * 24 * time.Hour)
	if end := f.agent(t, "web1", "10.0.0.7").current.Load().leaf.NotAfter; !end.Equal(f.signing.Load().cert.NotAfter) {
		t.Errorf("ends on %v, the CA on %v", end, f.signing.Load().cert.NotAfter)
	}
}

func TestRevoke(t *testing.T) {
	f := newFleet(t)
	web1, web2 := f.agent(t, "web1", "10.0.0.7").Peer(), f.agent(t, "web2", "10.0.0.8").Peer()
	service := f.reopen(t, f.dir)
	id, err := f.Revoke("web1")
	must(t, err)
	if id != web1.ID || f.Valid(web1) || !f.Valid(web2) {
		t.Errorf("revoked %s; web1 valid %v, web2 valid %v", id, f.Valid(web1), f.Valid(web2))
	}
	if !service.Valid(web1) {
		t.Error("another process knows without Reload")
	}
	must(t, service.Reload())
	must(t, service.Reload())
	if service.Valid(web1) || f.reopen(t, f.dir).Valid(web1) {
		t.Error("another process does not know after Reload")
	}
	again, err := f.Revoke("web1")
	must(t, err)
	if again != id {
		t.Errorf("revoked again: %s, before %s", again, id)
	}
	for _, name := range []string{"web3", "", "monitor"} {
		if _, err := f.Revoke(name); !errors.Is(err, ErrNotIssued) {
			t.Errorf("%q: %v", name, err)
		}
	}
	next := f.agent(t, "web1", "10.0.0.7").Peer()
	if id, err := f.Revoke("web1"); err != nil || id != next.ID {
		t.Errorf("revoked %s, want the valid one %s: %v", id, next.ID, err)
	}
}

func TestValid(t *testing.T) {
	f := newFleet(t)
	p := f.agent(t, "web1", "10.0.0.7", "10.0.0.8").Peer()
	other := func(change func(*dtc.Peer)) dtc.Peer { q := p; change(&q); return q }
	if !f.Valid(p) || !f.Valid(other(func(q *dtc.Peer) { q.IPs = ips("10.0.0.8", "10.0.0.7") })) {
		t.Error("not valid")
	}
	for _, q := range []dtc.Peer{
		{},
		other(func(q *dtc.Peer) { q.ID = newID() }),
		other(func(q *dtc.Peer) { q.Role = dtc.RoleMonitor }),
		other(func(q *dtc.Peer) { q.IPs = ips("10.0.0.7") }),
		other(func(q *dtc.Peer) { q.IPs = ips("10.0.0.7", "10.0.0.9") }),
		other(func(q *dtc.Peer) { q.IPs = nil }),
	} {
		if f.Valid(q) {
			t.Errorf("%+v is valid", q)
		}
	}
}

func TestReloadKeepsTheOldOnError(t *testing.T) {
	f := newFleet(t)
	p := f.agent(t, "web1", "10.0.0.7").Peer()
	good := files(t, f.dir)[registerFile]
	for _, bad := range []string{"", "x", strings.Replace(good, `"version":1`, `"version":2`, 1), good + "{}\n", good[:len(good)-20], strings.TrimSuffix(good, "\n") + "{}\n"} {
		must(t, os.WriteFile(f.path(registerFile), []byte(bad), 0o600))
		if err := f.Reload(); err == nil || !strings.Contains(err.Error(), registerFile) {
			t.Errorf("%q: %v", bad, err)
		}
		if !f.Valid(p) {
			t.Fatal("the register in force was dropped")
		}
		if _, _, _, _, err := f.Issue("x", ips("10.0.0.99")); err == nil {
			t.Error("issued into a damaged register")
		}
		if files(t, f.dir)[registerFile] != bad {
			t.Error("a damaged register was overwritten")
		}
	}
	must(t, os.Remove(f.path(registerFile)))
	if err := f.Reload(); err == nil || !f.Valid(p) {
		t.Errorf("register removed: %v, valid %v", err, f.Valid(p))
	}
}

// The register holds no secret.
func TestSecretsAreHashed(t *testing.T) {
	f := newFleet(t)
	text, err := f.Invite(Invitation{Name: "web1"})
	must(t, err)
	token, err := ParseToken(text)
	must(t, err)
	for name, data := range files(t, f.dir) {
		if strings.Contains(data, text) || strings.Contains(data, string(token.Secret)) || strings.Contains(data, text[60:90]) {
			t.Errorf("%s holds the secret", name)
		}
	}
}

// Several processes change one register: nothing is lost.
func TestProcesses(t *testing.T) {
	const dirVariable, each = "DTC_CA_TEST_DIR", 20
	if dir := os.Getenv(dirVariable); dir != "" { // the other process
		a, err := Open(dir)
		must(t, err)
		for range each {
			_, err := a.Invite(Invitation{})
			must(t, err)
		}
		return
	}
	f := newFleet(t)
	exe, err := os.Executable()
	must(t, err)
	var children []*exec.Cmd
	for range 2 {
		cmd := exec.Command(exe, "-test.run=^TestProcesses$")
		cmd.Env = append(os.Environ(), dirVariable+"="+f.dir)
		must(t, cmd.Start())
		children = append(children, cmd)
	}
	for i := range each {
		f.agent(t, "h"+string(rune('a'+i)), "10.0.1."+string(rune('1'+i%9))+string(rune('0'+i/9)))
	}
	for _, cmd := range children {
		must(t, cmd.Wait())
	}
	must(t, f.Reload())
	r := f.current.Load()
	if len(r.tickets) != 2*each || len(r.records) != each+1 {
		t.Errorf("%d tokens and %d certificates, want %d and %d", len(r.tickets), len(r.records), 2*each, each+1)
	}
}

func FuzzRegister(f *testing.F) {
	data, err := (&register{
		records: []Record{{ID: "a", Name: "web1", Role: dtc.RoleAgent, IPs: ips("10.0.0.7", "fd00::7"), Expires: time.Unix(1e9, 0)}},
		tickets: []ticket{{Hash: "00", Ends: time.Unix(1e9, 0), Used: &use{Key: "k", ID: "a"}}},
	}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":"dtc-issued","version":1}`))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		r, err := parseRegister("issued", data)
		if err != nil {
			return
		}
		text, err := r.encode()
		if err != nil {
			t.Skip() // a time beyond the year 9999
		}
		again, err := parseRegister("issued", text)
		if err != nil || len(again.records) != len(r.records) || len(again.tickets) != len(r.tickets) {
			t.Errorf("%q came back as %q: %v", data, text, err)
		}
	})
}
