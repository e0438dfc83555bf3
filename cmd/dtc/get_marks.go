package main

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"dtc"
	"dtc/internal/render"
)

// marker tells which rows of a table were not there in the picture before: a
// process that started, a file that was opened. What tells a row from others is known
// by the titles of the columns, so that a row whose figures change is no new
// one. Where these columns are not shown, no row is new.
type marker struct {
	status   dtc.Status
	noHeader bool
	seed     maphash.Seed
	table    rowKeys
	now      map[string]*rowSet // of this picture, by host
	kept     int                // hashes in now
	last     map[string]*rowSet // of the last whole one
	seen     map[string]*rowSet // of those before it, of each host the newest
}

// rowSet is the hashes of the keys of one host's rows.
type rowSet struct {
	hashes map[uint64]struct{}
	cut    bool // there were more rows: no later one can be told to be new
}

// How many rows of a picture are remembered at most; of more none is new.
const (
	maxMarked    = 200_000   // of a host
	maxMarkedAll = 2_000_000 // of all
)

func newMarker(status dtc.Status, noHeader bool) *marker {
	m := &marker{status: status, noHeader: noHeader, seed: maphash.MakeSeed(), seen: map[string]*rowSet{}}
	m.begin()
	return m
}

// next has the pictures from now on compared with the last whole one.
func (m *marker) next() {
	maps.Copy(m.seen, m.last) // a host that was not in it keeps its rows
	m.last = nil
}

// begin begins a picture.
func (m *marker) begin() {
	m.table = rowKeys{status: m.status, untitled: m.noHeader}
	m.now, m.kept = map[string]*rowSet{}, 0
}

// isNew takes a line of the picture, and tells whether it is a row that was not
// there in the last one with its host.
func (m *marker) isNew(line string) bool {
	host, key, ok := m.table.next(line)
	if !ok {
		return false
	}
	rows := m.now[host]
	if rows == nil {
		rows = &rowSet{hashes: map[uint64]struct{}{}}
		m.now[host] = rows
	}
	if len(rows.hashes) == maxMarked || m.kept == maxMarkedAll {
		rows.cut = true
		return false
	}
	hash := maphash.String(m.seed, key)
	m.kept -= len(rows.hashes)
	rows.hashes[hash] = struct{}{}
	m.kept += len(rows.hashes)
	before := m.seen[host]
	if before == nil || before.cut {
		return false
	}
	_, old := before.hashes[hash]
	return !old
}

// end ends a whole picture. One that is not is not compared with.
func (m *marker) end() { m.last = m.now }

// rowKeys finds in the lines of a text what tells the rows apart.
type rowKeys struct {
	status   dtc.Status
	untitled bool     // no line has the titles
	inside   bool     // a part of the text: no line of it is a host's title
	host     string   // whose part of the text it is
	titles   []string // of the columns, nil before the line with them
	heading  string   // the line with them
}

// next takes a line and returns whose row it is and its key; not ok if it is no
// row, or has none.
func (k *rowKeys) next(line string) (host, key string, ok bool) {
	begins := !k.inside
	k.inside = line != ""
	switch {
	case line == "":
		return "", "", false
	case begins && strings.HasPrefix(strings.TrimPrefix(line, "\x1b[1m"), "==> "):
		k.host, k.titles = line, nil
		return "", "", false
	case k.status == dtc.StatusUsers: // nothing of a line changes, nor of the titles
		if k.titles == nil {
			k.titles = strings.Fields(line)
		}
		return k.hostOf(strings.Fields(line)), line, true
	case k.status == dtc.StatusInterfaces && !k.isTable(line):
		fields := strings.Fields(line)
		return k.host, strings.Join(fields[:min(2, len(fields))], " "), line[0] >= '0' && line[0] <= '9'
	case k.untitled:
		return "", "", false
	case k.titles == nil:
		k.heading, k.titles = line, strings.Fields(oneWord.Replace(line))
		return "", "", false
	case k.status == dtc.StatusOpenFiles:
		return k.fileKey(line)
	default:
		return k.fieldKey(line)
	}
}

// isTable tells whether the lines from this one on are a table, and not what ip
// prints.
func (k *rowKeys) isTable(line string) bool {
	return k.titles != nil || !k.untitled && line[0] >= 'A' && line[0] <= 'Z'
}

// oneWord makes one word of each title, as it has one word in the rows. ss sets
// no space before its last title.
var oneWord = strings.NewReplacer("Local Address:Port", "Local ", "Peer Address:Port", "Peer ", "Mounted on", "Mounted")

// identity returns the columns that tell the rows of a status apart; without
// the first there is no telling.
func identity(status dtc.Status) []string {
	switch status {
	case dtc.StatusProcess:
		return []string{"PID", "START"}
	case dtc.StatusSockets:
		return []string{"Local", "Peer", "Netid"}
	case dtc.StatusDisk:
		return []string{"Mounted", "Filesystem"}
	case dtc.StatusServices:
		return []string{"UNIT", "ACTIVE", "SUB"}
	case dtc.StatusInterfaces:
		return []string{"NAME"}
	default:
		return nil
	}
}

// fieldKey returns the key of a row whose columns hold one word each, up to the
// last one that is needed.
func (k *rowKeys) fieldKey(line string) (host, key string, ok bool) {
	fields := strings.Fields(line)
	shift := 0
	if pid := slices.Index(k.titles, "PID"); k.status == dtc.StatusProcess && pid >= 0 {
		for pid+shift < len(fields) && !isNumber(fields[pid+shift]) {
			shift++ // the name of a user with spaces
		}
	}
	var parts []string
	for i, title := range identity(k.status) {
		switch at := slices.Index(k.titles, title); {
		case at < 0 && i == 0, at+shift >= len(fields):
			return "", "", false
		case at < 0:
		case at == len(k.titles)-1:
			parts = append(parts, fields[at+shift:]...)
		default:
			parts = append(parts, fields[at+shift])
		}
	}
	return k.hostOf(fields), strings.Join(parts, " "), len(parts) > 0
}

// fileKey returns the key of an open file: all of the row but its size or
// offset. Cells may be empty, but stand under their titles.
func (k *rowKeys) fileKey(line string) (host, key string, ok bool) {
	if !slices.Contains(k.titles, "NAME") {
		return "", "", false
	}
	fields := strings.Fields(line)
	const size = "SIZE/OFF"
	if at := strings.Index(k.heading, size); at >= 0 {
		begin := len(strings.TrimRight(k.heading[:at], " "))
		left, rest := cutCells(line, begin)
		_, right := cutCells(rest, at+len(size)-begin)
		fields = strings.Fields(left + " " + right)
	}
	return k.hostOf(fields), strings.Join(fields, " "), len(fields) > 0
}

// hostOf returns whose row it is.
func (k *rowKeys) hostOf(fields []string) string {
	if len(k.titles) > 0 && k.titles[0] == "HOST" && len(fields) > 0 {
		return fields[0]
	}
	return k.host
}

// cutCells cuts s behind that many cells of a terminal.
func cutCells(s string, cells int) (left, right string) {
	for i, r := range s {
		if cells <= 0 {
			return s[:i], s[i:]
		}
		cells -= render.Width(string(r))
	}
	return s, ""
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
