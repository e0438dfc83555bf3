package notify

import "syscall"

// These are the numbers of Winsock, which the constants of package syscall with
// the same names are not.

func refusedErrnos() []error {
	return []error{syscall.Errno(10061)} // WSAECONNREFUSED
}

func lostErrnos() []error {
	return []error{
		syscall.Errno(10053), // WSAECONNABORTED
		syscall.Errno(10054), // WSAECONNRESET
		syscall.Errno(10057), // WSAENOTCONN
	}
}

func noRouteErrnos() []error {
	return []error{
		syscall.Errno(10013), // WSAEACCES: a firewall of this machine
		syscall.Errno(10049), // WSAEADDRNOTAVAIL
		syscall.Errno(10050), // WSAENETDOWN
		syscall.Errno(10051), // WSAENETUNREACH
		syscall.Errno(10064), // WSAEHOSTDOWN
		syscall.Errno(10065), // WSAEHOSTUNREACH
	}
}
