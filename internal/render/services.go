package render

import "dtc"

// newServicesAnswer renders as `systemctl list-units`, with the main pid and
// since when, which it does not have but systemctl status.
func newServicesAnswer(opt Options) *tableAnswer {
	opt.Fields = usualColumns(dtc.StatusServices)
	return newTableAnswer(dtc.StatusServices, opt)
}
