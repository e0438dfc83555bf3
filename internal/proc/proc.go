// Package proc reads who runs on this machine: the identity and state of a
// process on every system, and on Linux the files of proc(5) and the kernel's
// socket tables, each with its parser apart from the reading.
package proc
