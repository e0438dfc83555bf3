package main

import (
	"testing"

	"dtc/internal/config"
	"dtc/internal/notify"
)

// Whatever the configuration takes for a receiver, notify can make a sender of.
func TestEveryReceiverHasSender(t *testing.T) {
	cfg, err := config.LoadMonitor("../../internal/config/testdata/good/watching_monitor.xml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, r := range cfg.Receivers {
		kinds[r.Kind] = true
		if _, err := notify.NewSender(r.Kind, notify.Settings{Home: t.TempDir(), Values: r.Settings}); err != nil {
			t.Errorf("line %d, %s: %v", r.Line, r.Name, err)
		}
	}
	if len(kinds) < 10 {
		t.Errorf("only the kinds %v are tried", kinds)
	}
}
