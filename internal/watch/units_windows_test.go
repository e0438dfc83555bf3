package watch

import (
	"testing"

	"dtc"
)

func TestServices(t *testing.T) {
	f := newTestFinder(t)
	list, err := one(t, f, dtc.ProcessRule{Unit: "PlugPlay"})
	if err != nil || len(list) != 1 || list[0].seen.Name == "" {
		t.Errorf("%+v, %v", list, err)
	}
	wantNothing(t, f, dtc.ProcessRule{Unit: "surely nothing is called so"}, "there is no service")
}
