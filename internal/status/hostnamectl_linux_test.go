package status

import (
	"strings"
	"testing"

	"dtc"
)

func TestStaticHostname(t *testing.T) {
	for file, want := range map[string]string{
		"vm\n": "vm", "# comment\n\n  VM  \nother\n": "VM", "": "(unset)", "\n#\n": "(unset)", "bad_host!\n": "badhost",
		"a..b.-c.": "a.b.c", ".-x-.y-\n": "x-y", "!!!\nnext\n": "(unset)", strings.Repeat("n", 70): strings.Repeat("n", 64),
	} {
		if got := staticHostname(file); got != want {
			t.Errorf("%q: got %q, want %q", file, got, want)
		}
	}
}

func TestHardware(t *testing.T) {
	for _, test := range []struct {
		want  string
		files map[string]string
	}{
		{"desktop|||", nil},
		{"server|Dell Inc.|PowerEdge R640|2.1.8", map[string]string{
			"sys/class/dmi/id/chassis_type": "17\n", "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
			"sys/class/dmi/id/product_name": "PowerEdge R640 \n", "sys/class/dmi/id/bios_version": "2.1.8\n",
		}},
		{"laptop|Lenovo|ThinkPad X1|N2H", map[string]string{
			"sys/class/dmi/id/chassis_type": "10\n", "sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "20XW\n",
			"sys/class/dmi/id/bios_version": "N2H\n",
			"run/udev/data/+dmi:id":         "I:1\nE:ID_VENDOR=LENOVO\nE:ID_VENDOR_FROM_DATABASE=Lenovo\nE:ID_MODEL=ThinkPad X1\nG:x\n",
		}},
		{"tablet|||", map[string]string{"sys/firmware/acpi/pm_profile": "8\n"}},
		{"vm|QEMU|Standard PC|", map[string]string{
			"sys/class/dmi/id/chassis_type": "1\n", "sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC\n",
		}},
		{"container|||", map[string]string{"run/.containerenv": ""}},
		{"rack|||", map[string]string{"etc/machine-info": "CHASSIS=rack\n"}},
	} {
		if test.files == nil {
			test.files = map[string]string{"sys/firmware/acpi/pm_profile": "1\n"}
		}
		p := dtc.Platform{Virtualization: tree(t, test.files).virtualization()}
		tree(t, test.files).hostnamectl(&p)
		if got := strings.Join([]string{p.Chassis, p.HardwareVendor, p.HardwareModel, p.FirmwareVersion}, "|"); got != test.want {
			t.Errorf("%v: got %s, want %s", test.files, got, test.want)
		}
		if p.IconName != "computer-"+p.Chassis {
			t.Errorf("icon %q of %q", p.IconName, p.Chassis)
		}
	}
}

func TestID128(t *testing.T) {
	for text, want := range map[string]string{
		"3D1219C7C4C5404AAA1F6D2A48ADFDA4\n":   "3d1219c7c4c5404aaa1f6d2a48adfda4",
		"a7814eb7-9eb7-48fb-8c49-528ddeb54aca": "a7814eb79eb748fb8c49528ddeb54aca",
		"uninitialized\n":                      "", "": "", "3d12": "", "zz1219c7c4c5404aaa1f6d2a48adfda4": "",
	} {
		if got := id128(text); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
