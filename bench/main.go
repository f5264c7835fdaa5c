// Command bench measures zmqauth and other ZAP handlers against the limit of what a handler can reach: a loop in C that
// accepts everybody. Every figure is a ratio of two measurements that alternate in one run, since times depend on the
// machine and on what else it does. It takes some two minutes, leaves out the peers that are not installed, and exits with
// status 1 where a figure misses what is wanted.
package main

import (
	"fmt"
	"os"
)

func main() {
	ok, err := true, error(nil)
	if len(os.Args) == 6 && os.Args[1] == serveCommand {
		err = serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	} else {
		ok, err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run prints the tables; ok tells whether all figures are as wanted.
func run() (ok bool, err error) {
	ok = true
	for _, measure := range []func() ([]table, error){measureLive, measureLookups, measureKeys, measureMemory, measureDirectories} {
		tables, err := measure()
		if err != nil {
			return false, err
		}
		for _, t := range tables {
			if !t.print(os.Stdout) {
				ok = false
			}
		}
	}
	return ok, nil
}
