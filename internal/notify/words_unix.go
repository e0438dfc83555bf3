//go:build !windows

package notify

import "syscall"

func refusedErrnos() []error { return []error{syscall.ECONNREFUSED} }

func lostErrnos() []error {
	return []error{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN}
}

func noRouteErrnos() []error {
	return []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EADDRNOTAVAIL}
}
