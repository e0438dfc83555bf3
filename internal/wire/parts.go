package wire

import (
	"fmt"

	"dtc"
)

// encoder turns the reports of one answer into messages, in memory that it
// uses again.
type encoder struct {
	part     PartMessage
	items    list // nil for a status without
	selected bool // the answer is of a selection
}

func newEncoder(q *dtc.Query) *encoder {
	return &encoder{items: newList(q.Status), selected: !q.Selection.IsZero()}
}

// send splits r into parts that a client takes. The message is send's only
// during the call.
func (e *encoder) send(r *dtc.Report, send func(*PartMessage) error) error {
	if e.items != nil {
		e.items.take(r)
	}
	for {
		e.part.Reset()
		e.part.CollectedAt, e.part.Selected, e.part.Partial = newTime(r.CollectedAt), e.selected, true
		e.part.PidWidth = uint32(min(max(r.PIDWidth, 0), maxPIDWidth))
		more := e.items != nil && e.items.put(&e.part)
		if !more {
			e.part.Partial = r.Partial
			e.end(r)
		}
		if err := send(&e.part); err != nil || !more {
			return err
		}
	}
}

// end fills the part with what a report has once.
func (e *encoder) end(r *dtc.Report) {
	for _, note := range r.Notes[:min(len(r.Notes), maxNotes)] {
		e.part.Notes = append(e.part.Notes, []byte(note[:min(len(note), maxNote)]))
	}
	if r.Memory != nil {
		e.part.Memory = new(MemoryMessage)
		memoryFields(fields{}, e.part.Memory, r.Memory)
	}
	if r.Platform != nil {
		e.part.Platform = new(PlatformMessage)
		platformFields(fields{}, e.part.Platform, r.Platform)
	}
	if r.CPU != nil {
		e.part.Cpu = &CPUMessage{Percent: new(CPUColumns)}
		cpuFields(fields{}, e.part.Cpu, r.CPU)
		percent := r.CPU.Percent[:min(len(r.CPU.Percent), maxRows)]
		cpuColumns(&columns[dtc.CPUPercent]{items: percent}, e.part.Cpu.Percent)
	}
}

// decoder turns the messages of one answer into reports, in memory that it uses
// again, and counts what the whole answer holds.
type decoder struct {
	query  dtc.Query
	report dtc.Report
	items  list // nil for a status without
	parts  int
	amount amount
}

func newDecoder(q *dtc.Query) *decoder { return &decoder{query: *q, items: newList(q.Status)} }

// decode returns the report of m, valid until the next call. Whatever else m
// holds, only the fields of the status that was asked are filled.
func (d *decoder) decode(m *PartMessage) (*dtc.Report, error) {
	if !m.Selected && !d.query.Selection.IsZero() {
		return nil, invalid("the agent there is older than this program and cannot select: update it, or ask for all of %s", d.query.Status)
	}
	d.report = dtc.Report{
		Status: d.query.Status, CollectedAt: m.CollectedAt.time(), Partial: m.Partial,
		PIDWidth: int(min(m.PidWidth, maxPIDWidth)),
	}
	for _, note := range m.Notes[:min(len(m.Notes), maxNotes)] {
		d.report.Notes = append(d.report.Notes, cut(note, maxNote))
	}
	has, err := d.body(m)
	if err == nil {
		err = d.count(has)
	}
	return &d.report, err
}

func (d *decoder) body(m *PartMessage) (has amount, err error) {
	if d.items != nil {
		return d.items.get(m, &d.report)
	}
	r, f := &d.report, fields{decode: true}
	switch d.query.Status {
	case dtc.StatusMemory:
		if m.Memory != nil {
			r.Memory = new(dtc.Memory)
			memoryFields(f, m.Memory, r.Memory)
		}
	case dtc.StatusPlatform:
		if m.Platform != nil {
			r.Platform = new(dtc.Platform)
			platformFields(f, m.Platform, r.Platform)
		}
	case dtc.StatusCPU:
		if m.Cpu != nil {
			r.CPU = new(dtc.CPU)
			cpuFields(f, m.Cpu, r.CPU)
			return decodePercent(m.Cpu.Percent, r.CPU)
		}
	default: // a question that this program does not know: the answer has nothing for it
	}
	return amount{}, nil
}

func decodePercent(m *CPUColumns, v *dtc.CPU) (amount, error) {
	if m == nil {
		return amount{}, nil
	}
	var c columns[dtc.CPUPercent]
	if err := c.prepare(m.Cpu.rows(), maxRows); err != nil {
		return amount{}, err
	}
	cpuColumns(&c, m)
	v.Percent = c.items
	return c.amount(), c.err
}

// count ends an answer that is larger than any host's can be.
func (d *decoder) count(has amount) error {
	d.parts++
	d.amount.rows += has.rows
	d.amount.text += has.text
	if d.parts > maxAnswerParts || d.amount.rows > maxAnswerRows || d.amount.text > maxAnswerText {
		return fmt.Errorf("the answer is too large: %d items, %d bytes of text", d.amount.rows, d.amount.text)
	}
	return nil
}
