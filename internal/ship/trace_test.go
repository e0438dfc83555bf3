package ship

import (
	"fmt"
	"strings"

	"dtc"
)

// tracing is a link that logs its frames.
type tracing struct {
	Link
	w *world
}

func (l tracing) Send(f *dtc.Frame) error {
	l.w.log.Debug("sent", "frame", show(f))
	return l.Link.Send(f)
}

func (l tracing) Recv(f *dtc.Frame) error {
	err := l.Link.Recv(f)
	if err == nil {
		l.w.log.Debug("received", "frame", show(f))
	}
	return err
}

func show(f *dtc.Frame) string {
	names := [...]string{
		"", "Hello", "Known", "Ready", "Attach", "State", "Refused", "Fenced", "Open", "Append", "Ack", "Nack",
		"Seal", "Gap", "Rewind", "Size", "Ask", "Answer", "Paused", "Resumed", "Rejected", "Ping", "Pong", "Packed", "Hole", "Lost", "Follow",
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s stream=%d epoch=%d gen=%d off=%d end=%d id=%d text=%q data=%d", names[f.Kind], f.Stream, f.Epoch,
		f.Generation, f.Offset, f.End, f.ID, f.Text, len(f.Data))
	for _, g := range f.States {
		fmt.Fprintf(&s, " [%d start=%d pos=%d head=%d marker=%d sealed=%v]", g.Generation, g.Start, g.Position, g.HeadLen, g.MarkerLen, g.Sealed)
	}
	return s.String()
}
