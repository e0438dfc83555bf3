package top

import "strings"

// keys lists the keys and what they do.
const keys = `Everywhere
  Up Down j k PgUp PgDn Home End g G   move the cursor
  Left Right h   scroll long lines sideways
  /        filter: type, Enter keeps it, Esc drops it
  Space    pause: nobody is asked, the screen stays
  r        turn the order round
  Esc      drop a filter, else back
  ?        this help
  q Ctrl-C quit          Ctrl-Z suspend
Hosts
  Enter    processes of the host       F  open files of the host
  c m l u  order by cpu, memory, load of the last minute, uptime
  n o a    order by name, as configured, by alerts
Processes
  c m t p  order by %CPU, memory, TIME, PID
  T        tree of parents and children
  f F      open files of the process, of the whole host
Alerts
`

// Help returns lines on the keys and on what the alerts mean.
func Help() string {
	return keys + "  " + strings.ReplaceAll(alertHelp, "\n", "\n  ") + "\n"
}

// helpLines returns the lines of the help.
func helpLines() []string { return strings.Split(strings.TrimSuffix(Help(), "\n"), "\n") }

func (m *Model) helpView(lines []string) []string {
	for _, text := range helpLines()[m.helpTop:] {
		if len(lines) == m.height-1 {
			break
		}
		way := plain
		if !strings.HasPrefix(text, " ") {
			way = bold
		}
		lines = append(lines, m.look.paint(way, fit(text, m.width)))
	}
	return lines
}
