package status

import (
	"testing"

	"dtc"
)

func answer(t *testing.T, s dtc.Status) *dtc.Report {
	t.Helper()
	var got *dtc.Report
	err := New(Options{}).Get(t.Context(), dtc.Query{Status: s}, func(r *dtc.Report) error {
		got = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDisksOfWindows(t *testing.T) {
	r := answer(t, dtc.StatusDisk)
	found := false
	for _, d := range r.Disk {
		t.Logf("%+v", d)
		found = found || d.MountedOn == `C:\`
		if d.TotalBytes <= 0 || d.UsedBytes < 0 || d.AvailableBytes < 0 || d.UsedPercent < 0 || d.UsedPercent > 100 || d.Type == "" {
			t.Errorf("%+v", d)
		}
		if d.Filesystem == "" || d.TotalInodes != dtc.Absent {
			t.Errorf("%+v", d)
		}
	}
	if !found {
		t.Errorf("no drive C: %+v; notes %q", r.Disk, r.Notes)
	}
}

func TestServerFolder(t *testing.T) {
	for device, want := range map[string]string{
		`\Device\HarddiskVolume3`:                                         `\Device\HarddiskVolume3`,
		`\Device\LanmanRedirector\;Z:0000000000012345\server\share`:       `\\server\share`,
		`\Device\Mup\;LanmanRedirector\;Z:00000000000a4b5c\server\a\deep`: `\\server\a\deep`,
	} {
		if got := serverFolder(device); got != want {
			t.Errorf("%s: got %s, want %s", device, got, want)
		}
	}
}
