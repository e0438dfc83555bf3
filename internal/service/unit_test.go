package service

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnit(t *testing.T) {
	t.Parallel()
	agent := Service{Name: "dtc-agent", Exec: "/usr/bin/dtc-agent", Home: "/var/lib/dtc-agent"}
	monitor := Service{Name: "dtc", Exec: "/opt/my dtc/dtc", Home: `/srv/100%/a"b`, User: "dtc"}
	for _, test := range []struct {
		of   Service
		want []string
	}{
		{agent, []string{
			"ExecStart=/usr/bin/dtc-agent run --home /var/lib/dtc-agent\n",
			"ExecReload=/usr/bin/dtc-agent reload --home /var/lib/dtc-agent\nRestart=always\n",
			"ReadWritePaths=-/var/lib/dtc-agent/state -/var/lib/dtc-agent/conf/tls\n",
		}},
		{monitor, []string{
			`ExecStart="/opt/my dtc/dtc" serve --home "/srv/100%%/a\"b"` + "\n",
			`ReadWritePaths="-/srv/100%%/a\"b"` + "\n",
			"User=dtc\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nRestart=always\n", "PrivateTmp=yes\n",
		}},
		{Service{Name: "dtc", Exec: "/x", Home: "/tmp/home"}, []string{"PrivateTmp=no\n"}},
	} {
		unit, err := test.of.Unit()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(unit, want) {
				t.Errorf("the unit has no %q:\n%s", want, unit)
			}
		}
		if strings.Contains(unit, "@E") || strings.Contains(unit, "@H") || strings.Contains(unit, "@W") {
			t.Errorf("something is left open:\n%s", unit)
		}
	}
	if _, err := (Service{Name: "dtc", Exec: "/x", Home: "/a\nExecStart=evil"}).Unit(); err == nil {
		t.Error("a home with a line break is taken")
	}
}

// Whatever a home is called, the unit's command line names it.
func TestHomeOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.StringOf(rapid.RuneFrom([]rune(`ab/ %$\"';#-é{}@`))).Draw(t, "path")
		unit, err := Service{Name: "dtc-agent", Exec: path, Home: path}.Unit()
		if err != nil {
			t.Fatal(err)
		}
		if got := homeOf(unit); got != path {
			t.Errorf("got %q of\n%s", got, unit)
		}
	})
	for _, unit := range []string{"", "ExecStart=", "[Service]\nExecStart=/bin/true --home\n", "ExecStart=\"/a"} {
		if got := homeOf(unit); got != "" {
			t.Errorf("%q: %q", unit, got)
		}
	}
}
