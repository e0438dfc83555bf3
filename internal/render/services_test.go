package render

import (
	"strings"
	"testing"
	"time"

	"dtc"
)

func TestServices(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	berlin := time.FixedZone("CEST", 2*3600)
	now := time.Date(2026, 11, 22, 15, 0, 0, 0, shanghai)
	first := &dtc.Report{Status: dtc.StatusServices, CollectedAt: now, Partial: true, Services: []dtc.Service{
		{
			Name: "nginx.service", Load: "loaded", State: "active", SubState: "running", PID: 812,
			Since: time.Date(2026, 11, 22, 7, 15, 1, 999, time.UTC), Description: "A high performance web server",
		},
		{Name: "日本.service", Load: "loaded", State: "failed", SubState: "failed", PID: dtc.Absent, Since: time.Date(2026, 7, 1, 9, 8, 7, 0, berlin), Description: "a\x1b]0;b\x07\u202e\nc"},
	}}
	last := &dtc.Report{Status: dtc.StatusServices, CollectedAt: now, Services: []dtc.Service{
		{Name: "com.apple.x", State: "inactive", PID: dtc.Absent},
	}}
	var got strings.Builder
	d := NewDocument(&got, dtc.StatusServices, 1, Options{})
	for _, part := range []*dtc.Report{first, last} {
		if got.Len() > 0 {
			t.Errorf("a part gave %q before the widths were known", &got)
		}
		if err := d.Add(0, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	const want = `UNIT          LOAD   ACTIVE   SUB     MAINPID SINCE               DESCRIPTION
nginx.service loaded active   running     812 2026-11-22 15:15:01 A high performance web server
日本.service  loaded failed   failed        - 2026-07-01 09:08:07 a\x1b]0;b\x07\u202e\nc
com.apple.x   -      inactive -             - -                   -
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
	raw := text(t, &dtc.Report{Status: dtc.StatusServices, Services: first.Services}, Options{Raw: true})
	if !strings.Contains(raw, first.Services[1].Description) {
		t.Errorf("raw: %q", raw)
	}
}
