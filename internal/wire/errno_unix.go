//go:build !windows

package wire

import "syscall"

func refusedErrnos() []error { return []error{syscall.ECONNREFUSED} }

func lostErrnos() []error {
	return []error{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN}
}

func timeoutErrnos() []error { return []error{syscall.ETIMEDOUT} }

func noRouteErrnos() []error {
	return []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EADDRNOTAVAIL}
}
