// Command mortals starts processes that end with exit codes of their own: it
// prints the pid and the code of each, and ends them when its input ends.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "one" {
		code, _ := strconv.ParseUint(os.Args[2], 10, 32)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(int(uint32(code)))
	}
	n, _ := strconv.Atoi(os.Args[1])
	var all []*exec.Cmd
	var inputs []io.Closer
	for i := range n {
		code := uint32(i * 7)
		if i%10 == 9 {
			code = 0xC0000005 - uint32(i) // as an exception gives
		}
		cmd, in := start(strconv.FormatUint(uint64(code), 10))
		all, inputs = append(all, cmd), append(inputs, in)
		fmt.Println(cmd.Process.Pid, code)
	}
	fmt.Println("all")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, in := range inputs {
		_ = in.Close()
	}
	for _, cmd := range all {
		_ = cmd.Wait()
	}
}

// start starts one that will end with a code. Wine refuses one now and then,
// with an internal error, when the machine is busy.
func start(code string) (*exec.Cmd, io.Closer) {
	for try := 0; ; try++ {
		cmd := exec.Command(os.Args[0], "one", code)
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		switch {
		case err == nil:
			return cmd, in
		case try == 20:
			fmt.Println("error", err)
			os.Exit(1)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
