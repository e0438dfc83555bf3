package monitor

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/notify"
)

// openNotifier opens what tells people of what is recorded. It is called once
// no other service runs in this home, and before anything new is recorded.
func (m *Monitor) openNotifier(ctx context.Context) error {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	cfg, _ := m.config()
	n, err := notify.New(notify.Options{
		Dir:    filepath.Join(m.opts.Home, "state", "notify"),
		Home:   m.opts.Home,
		Config: notifyConfig(&cfg),
		Report: m.undelivered,
		Logger: m.opts.Logger,
	})
	if err != nil {
		return err
	}
	m.notifier = n
	m.replay(ctx)
	return nil
}

// notifyConfig returns what of a configuration the notifier is to know.
func notifyConfig(cfg *config.Monitor) notify.Config {
	var n notify.Config
	for i := range cfg.Receivers {
		n.Receivers = append(n.Receivers, receiverOf(&cfg.Receivers[i]))
	}
	for _, w := range cfg.Maintenance {
		n.Maintenance = append(n.Maintenance, notify.Window{
			For: w.For, Start: w.Start, End: w.End, From: w.From, To: w.To, Days: w.Days,
		})
	}
	for _, h := range cfg.Hosts {
		host := notify.Host{Name: h.Name, Address: h.Address.String(), Groups: h.Groups, PIDs: h.PIDs}
		for i := range h.Rules {
			host.Rules = append(host.Rules, h.Rules[i].Name)
		}
		n.Hosts = append(n.Hosts, host)
	}
	return n
}

func receiverOf(r *config.Receiver) notify.Receiver {
	return notify.Receiver{
		Name: r.Name, Kind: r.Kind, For: r.For, Wait: r.Wait, Remind: r.Remind, GiveUp: r.GiveUp, Values: r.Settings,
	}
}

// recorded is given every event that has been written down.
func (m *Monitor) recorded(e dtc.Event) {
	if m.notifier != nil {
		m.notifier.Tell(e)
	}
}

// maxReplay is how old an event may be that is told after a start: what was
// recorded while the service ran without notices is no news.
const maxReplay = 24 * time.Hour

// replay tells what an earlier run has recorded and may not have told: it was
// killed between the two. It ends before anything new is recorded.
func (m *Monitor) replay(ctx context.Context) {
	since := m.notifier.Until()
	if since.IsZero() {
		return // the first run
	}
	if oldest := time.Now().Add(-maxReplay); since.Before(oldest) {
		since = oldest
	}
	err := events.Read(ctx, filepath.Join(m.opts.Home, "logs"), events.Filter{Since: since, Tail: true}, func(e dtc.Event) error {
		m.notifier.Tell(e)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		m.log.Error("read the events; what happened last may not have been told", "error", err)
	}
}

// undelivered records that a notice was given up on, as an event of the monitor
// itself.
func (m *Monitor) undelivered(e dtc.Event) error {
	folder := m.own(&e)
	if err := m.record(folder, e); err != nil {
		return fmt.Errorf("record a notice that was given up: %w", err)
	}
	return nil
}
