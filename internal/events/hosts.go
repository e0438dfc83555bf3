package events

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"dtc"
)

// Host is a host as its events call it.
type Host struct {
	Name    string
	Address string // ip:port of its agent; the ip alone if it only ships logs
}

// hostTail is how much of a file is searched for its last event.
const hostTail = 64 << 10

// Hosts returns the hosts that have events on record under dir, with their
// latest names, whether they are configured or not.
func Hosts(dir string) ([]Host, error) {
	files, err := listAll(dir, "")
	if err != nil {
		return nil, err
	}
	latest := map[series]logFile{}
	for _, f := range files { // oldest first
		latest[series{f.folder, strings.TrimSuffix(f.name, f.date+".log")}] = f
	}
	last := map[string]*dtc.Event{} // by address
	for _, f := range latest {
		e, err := lastEvent(f.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for hosts in events: %w", err)
		}
		if e == nil || e.Address == "" {
			continue
		}
		if other := last[e.Address]; other == nil || other.Time.Before(e.Time) {
			last[e.Address] = e
		}
	}
	hosts := make([]Host, 0, len(last))
	for _, address := range slices.Sorted(maps.Keys(last)) {
		hosts = append(hosts, Host{Name: last[address].Host, Address: address})
	}
	return hosts, nil
}

// lastEvent returns the last event of a file, nil if there is none.
func lastEvent(path string) (*dtc.Event, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	c := cursor{path: path, off: max(0, info.Size()-hostTail)}
	var last *dtc.Event
	for {
		e, err := c.next()
		if e == nil || err != nil {
			return last, err
		}
		last = e
	}
}
