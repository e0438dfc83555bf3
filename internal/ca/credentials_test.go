package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtc"
)

// home returns a folder with a new agent's files.
func (f *testFleet) home(t *testing.T, name, ip string) string {
	t.Helper()
	key, cert, root, _, err := f.Issue(name, ips(ip))
	must(t, err)
	dir := filepath.Join(t.TempDir(), "tls")
	must(t, StoreAgent(dir, key, cert, root))
	return dir
}

func TestLoadRefuses(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	write := func(name, data string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { t.Helper(); must(t, os.Remove(filepath.Join(dir, name))) }
	}
	content := func(dir, name string) string { return files(t, dir)[name] }
	stranger := f.home(t, "stranger", "10.0.9.1")
	tests := map[string]struct {
		spoil func(t *testing.T, dir string)
		text  string
	}{
		"no certificate":  {remove("agent.crt"), "dtc invite"},
		"no key":          {remove("agent.key"), "dtc invite"},
		"no CA":           {remove("ca.crt"), "dtc invite"},
		"another's key":   {write("agent.key", content(stranger, "agent.key")), "do not belong together"},
		"another fleet's": {write("ca.crt", content(other.dir, "ca.crt")), "not of this fleet's CA"},
		"damaged":         {write("agent.crt", "x"), "one PEM block"},
		"damaged key":     {write("agent.key", "x"), "no PEM block PRIVATE KEY"},
		"two in one":      {write("ca.crt", content(other.dir, "ca.crt")+content(f.dir, "ca.crt")), "one PEM block"},
		"a leaf as CA":    {write("ca.crt", content(stranger, "agent.crt")), "not the certificate of a CA"},
	}
	i := 0
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i++
			dir := f.home(t, "h"+string(rune('0'+i)), "10.0.8."+string(rune('0'+i)))
			_, err := f.opts.Load(dir, dtc.RoleAgent)
			must(t, err)
			tt.spoil(t, dir)
			_, err = f.opts.Load(dir, dtc.RoleAgent)
			if err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v does not say %q in one line", err, tt.text)
			}
		})
	}
	t.Run("the monitor's as an agent's", func(t *testing.T) {
		dir := t.TempDir()
		for from, to := range map[string]string{"monitor.crt": "agent.crt", "monitor.key": "agent.key", "ca.crt": "ca.crt"} {
			data, err := os.ReadFile(f.path(from))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, to), data, 0o600))
		}
		if _, err := f.opts.Load(dir, dtc.RoleAgent); err == nil || !strings.Contains(err.Error(), "role is monitor") {
			t.Errorf("%v", err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		if _, err := Load(t.TempDir(), dtc.RoleMonitor); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "dtc init") {
			t.Errorf("%v", err)
		}
	})
}

func TestLoadChecksTheClock(t *testing.T) {
	f := newFleet(t)
	dir := f.home(t, "web1", "10.0.0.7")
	f.clock.advance(-backdate / 2)
	if _, err := f.opts.Load(dir, dtc.RoleAgent); err != nil {
		t.Errorf("a clock that is half a day behind: %v", err)
	}
	f.clock.advance(-backdate)
	if _, err := f.opts.Load(dir, dtc.RoleAgent); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("a clock before the CA: %v", err)
	}
	f.clock.advance(400 * 24 * time.Hour)
	if _, err := f.opts.Load(dir, dtc.RoleAgent); err == nil || !strings.Contains(err.Error(), "ended on") {
		t.Errorf("a clock after the end: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	f := newFleet(t)
	agent, monitor := f.agent(t, "web1", "10.0.0.7"), f.monitor(t)
	now := f.clock.now()
	const days = 24 * time.Hour
	tests := []struct {
		creds *Credentials
		at    time.Time
		want  []string
	}{
		{agent, now, nil},
		{agent, agent.current.Load().leaf.NotAfter.Add(-30*days - time.Minute), nil},
		{agent, agent.current.Load().leaf.NotAfter.Add(-30 * days), []string{"the agent's certificate ends in 30 days"}},
		{agent, agent.current.Load().leaf.NotAfter.Add(-time.Hour), []string{"the agent's certificate ends in 0 days"}},
		{agent, agent.current.Load().leaf.NotAfter.Add(time.Hour), []string{"the agent's certificate ended on"}},
		{agent, agent.current.Load().bundle.certs[0].NotAfter.Add(-days), []string{"the fleet's CA ends in 1 days", "the agent's certificate ended on"}},
		{monitor, now, nil},
		{monitor, monitor.current.Load().bundle.certs[0].NotAfter.Add(-days), []string{"the fleet's CA ends in"}},
		{monitor, monitor.current.Load().bundle.certs[0].NotAfter.Add(days), []string{"the fleet's CA ended on"}},
	}
	for _, tt := range tests {
		got := tt.creds.Warnings(tt.at)
		if len(got) != len(tt.want) {
			t.Errorf("at %v: %q, want %q", tt.at, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tt.want[i]) {
				t.Errorf("at %v: %q, want %q", tt.at, got[i], tt.want[i])
			}
		}
	}
}

func TestStoreAgent(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	here := newHost(t, "10.0.0.7")
	g := here.joined(t, f, Invitation{})
	strange := newHost(t, "10.0.0.7").joined(t, other, Invitation{})
	elsewhere := here.joined(t, other, Invitation{Name: "x", IPs: ips("10.0.0.99")})

	monitors := files(t, f.dir)
	for name, three := range map[string][3][]byte{
		"another CA":     {here.key, g.Certificate, strange.CA},
		"another key":    {newHost(t, "10.0.0.7").key, g.Certificate, g.CA},
		"no key":         {nil, g.Certificate, g.CA},
		"no certificate": {here.key, nil, g.CA},
		"no CA":          {here.key, g.Certificate, nil},
		"CA as both":     {here.key, g.CA, g.CA},
		"the monitor's":  {[]byte(monitors["monitor.key"]), []byte(monitors["monitor.crt"]), g.CA},
	} {
		dir := filepath.Join(t.TempDir(), "tls")
		if err := StoreAgent(dir, three[0], three[1], three[2]); err == nil {
			t.Errorf("%s: stored", name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: wrote something", name)
		}
	}

	dir := filepath.Join(t.TempDir(), "conf", "tls")
	key, csr, err := AgentKey(dir)
	must(t, err)
	again, _, err := AgentKey(dir)
	must(t, err)
	if string(key) != string(again) {
		t.Error("the key of a join that was cut off was not kept")
	}
	grant, err := f.Redeem(f.invite(t, Invitation{}), ips("10.0.0.8")[0], csr, here.listen)
	must(t, err)
	must(t, StoreAgent(dir, key, grant.Certificate, grant.CA))
	must(t, StoreAgent(dir, key, grant.Certificate, grant.CA))
	before := files(t, dir)
	if err := StoreAgent(dir, here.key, g.Certificate, g.CA); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("another key: %v", err)
	}
	for name, data := range files(t, dir) {
		if data != before[name] {
			t.Errorf("%s was overwritten", name)
		}
	}

	t.Run("another fleet", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "tls")
		must(t, StoreAgent(dir, here.key, g.Certificate, g.CA))
		must(t, StoreAgent(dir, here.key, elsewhere.Certificate, elsewhere.CA))
		_, err := other.opts.Load(dir, dtc.RoleAgent)
		must(t, err)
	})
	t.Run("the monitor's own home", func(t *testing.T) {
		must(t, StoreAgent(f.dir, here.key, g.Certificate, g.CA))
		if err := StoreAgent(f.dir, here.key, elsewhere.Certificate, elsewhere.CA); err == nil {
			t.Error("the CA of a monitor was replaced")
		}
		f.monitor(t)
		f.reopen(t, f.dir)
	})
}

func TestCSR(t *testing.T) {
	key, first, err := NewKey()
	must(t, err)
	second, err := CSR(key)
	must(t, err)
	a, err := requestKey(first)
	must(t, err)
	b, err := requestKey(second)
	must(t, err)
	if !a.Equal(b) {
		t.Error("two requests of one key differ in the key")
	}
	if _, err := CSR([]byte("x")); err == nil {
		t.Error("a request for no key")
	}
}
