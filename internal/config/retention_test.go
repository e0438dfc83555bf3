package config

import (
	"reflect"
	"testing"
	"time"
)

const retaining = `<monitor>
<retention size="500MB" alias="*debug*"/>
<retention size="10 GiB" age="30d"/>
<remote_host><ip_port>10.0.0.7:7701</ip_port>
<retention age="36h" alias="App.log"/>
</remote_host>
<remote_host><ip_port>10.0.0.18:7701</ip_port></remote_host>
</monitor>
`

func TestRetention(t *testing.T) {
	m, err := ParseMonitor("x.xml", []byte(retaining))
	if err != nil {
		t.Fatal(err)
	}
	all := []Retention{{Size: 500_000_000, Alias: "*debug*", Line: 2}, {Size: 10 << 30, Age: 30 * 24 * time.Hour, Line: 3}}
	own := []Retention{{Age: 36 * time.Hour, Alias: "App.log", Line: 5}}
	if !reflect.DeepEqual(m.Retention, all) || !reflect.DeepEqual(m.Hosts[0].Retention, own) || m.Hosts[1].Retention != nil {
		t.Fatalf("%+v; %+v", m.Retention, m.Hosts)
	}
	for _, c := range []struct {
		host  int
		alias string
		want  Retention
	}{
		{0, "app.log", own[0]}, // aliases are compared without case
		{0, "debug.log", all[0]},
		{0, "x", all[1]},
		{1, "app.log", all[1]},
		{1, "a-DEBUG", all[0]},
	} {
		if got := RetentionOf(c.alias, m.Hosts[c.host].Retention, m.Retention); got != c.want {
			t.Errorf("host %d, %s: %+v, want %+v", c.host, c.alias, got, c.want)
		}
	}
	if got := RetentionOf("x", own, nil); got != (Retention{}) {
		t.Errorf("%+v for nothing", got)
	}
}

func TestRetentionUnits(t *testing.T) {
	for value, want := range map[string]int64{
		"1000000": 1e6, "999KB": 0, "1000KB": 1e6, "1MB": 1e6, "1MiB": 1 << 20, "3GB": 3e9, "3GiB": 3 << 30, "2TB": 2e12, "2TiB": 2 << 40,
		"1048576TiB": 1 << 60, "1048577TiB": 0, "1KB": 0, "007MB": 7e6, "1mb": 0, "1B": 0,
	} {
		if got, err := parseSize(value); got != want || (err == nil) != (want > 0) {
			t.Errorf("size %s: %d, %v; want %d", value, got, err, want)
		}
	}
	for value, want := range map[string]time.Duration{
		"60s": time.Minute, "59s": 0, "1m": time.Minute, "36h": 36 * time.Hour, "30d": 720 * time.Hour, "11574d": 11574 * 24 * time.Hour, "11575d": 0,
		"1w": 0, "90": 0,
	} {
		if got, err := parseAge(value); got != want || (err == nil) != (want > 0) {
			t.Errorf("age %s: %v, %v; want %v", value, got, err, want)
		}
	}
}

// TestEditRetaining takes hosts out of such a file and puts one in.
func TestEditRetaining(t *testing.T) {
	added, err := insertHost("x.xml", []byte(retaining), newHost)
	if err != nil {
		t.Fatal(err)
	}
	removed, _, err := cutHost("x.xml", added, newHost.Name)
	if err != nil || string(removed) != retaining {
		t.Errorf("%v\n%s", err, removed)
	}
	if _, _, err := cutHost("x.xml", []byte(retaining), "10.0.0.7:7701"); err != nil {
		t.Error(err)
	}
}
