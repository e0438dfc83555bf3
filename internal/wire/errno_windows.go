package wire

import "syscall"

// The numbers of Winsock, which the constants of package syscall with the same
// names are not.
const (
	wsaEACCES        = syscall.Errno(10013)
	wsaEADDRNOTAVAIL = syscall.Errno(10049)
	wsaENETDOWN      = syscall.Errno(10050)
	wsaENETUNREACH   = syscall.Errno(10051)
	wsaECONNABORTED  = syscall.Errno(10053)
	wsaECONNRESET    = syscall.Errno(10054)
	wsaENOTCONN      = syscall.Errno(10057)
	wsaETIMEDOUT     = syscall.Errno(10060)
	wsaECONNREFUSED  = syscall.Errno(10061)
	wsaEHOSTDOWN     = syscall.Errno(10064)
	wsaEHOSTUNREACH  = syscall.Errno(10065)
)

func refusedErrnos() []error { return []error{wsaECONNREFUSED} }

func lostErrnos() []error { return []error{wsaECONNRESET, wsaECONNABORTED, wsaENOTCONN} }

func timeoutErrnos() []error { return []error{wsaETIMEDOUT} }

func noRouteErrnos() []error {
	return []error{wsaEHOSTUNREACH, wsaENETUNREACH, wsaEHOSTDOWN, wsaENETDOWN, wsaEADDRNOTAVAIL, wsaEACCES}
}
