package dtc

import (
	"strconv"
	"time"
)

// Field returns how a process ended as the key and the value of its line:
// exit_code=N, signal=N or exit=unknown. A nil e is unknown.
func (e *Exit) Field() (key, value string) {
	switch {
	case e != nil && e.Kind == ExitCode:
		return "exit_code", strconv.Itoa(e.Number)
	case e != nil && e.Kind == ExitSignal:
		return "signal", strconv.Itoa(e.Number)
	default:
		return "exit", "unknown"
	}
}

// FormatLived returns how long a process lived as its line says it: to the
// second, under a minute to the millisecond; "unknown" if it is negative.
func FormatLived(d time.Duration) string {
	switch {
	case d < 0:
		return "unknown"
	case d < time.Minute:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
