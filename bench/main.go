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
	if len(os.Args) == 4 && os.Args[1] == asZmq4 {
		err = serveZmq4(os.Args[2], os.Args[3])
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
	for _, measure := range []func() ([]table, error){measureRoundTrips, measureKeys, measureMemory} {
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
