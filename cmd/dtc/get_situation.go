package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"

	"dtc/internal/render"
)

// situation lists every status with a line on each. No host is asked.
func (a *app) situation(o getOptions) error {
	if err := o.checkSituation(); err != nil {
		return err
	}
	type line struct {
		Status  string `json:"status"`
		Summary string `json:"summary"`
	}
	var lines []line
	for _, s := range summaries() {
		lines = append(lines, line{string(s.Status), s.Summary})
	}
	switch render.Format(o.format) {
	case render.FormatJSON:
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(lines)
	case render.FormatJSONL:
		enc := json.NewEncoder(a.stdout)
		for _, l := range lines {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return nil
	case render.FormatCSV:
		w := csv.NewWriter(a.stdout)
		w.UseCRLF = true
		var rows [][]string
		if !o.noHeader {
			rows = append(rows, []string{"status", "summary"})
		}
		for _, l := range lines {
			rows = append(rows, []string{l.Status, l.Summary})
		}
		return w.WriteAll(rows)
	default:
		_, err := fmt.Fprint(a.stdout, statusList(""))
		return err
	}
}
