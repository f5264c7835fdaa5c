//go:build unix

package sshtunnel

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// socketPair returns the two ends of a connection within this process.
func socketPair() (here, there localEnd, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	here, err1 := fileConn(pair[0])
	there, err2 := fileConn(pair[1])
	if err := errors.Join(err1, err2); err != nil {
		for _, end := range []localEnd{here, there} {
			if end != nil {
				_ = end.Close()
			}
		}
		return nil, nil, err
	}
	return here, there, nil
}

// fileConn makes a connection of a descriptor, which it takes over.
func fileConn(descriptor int) (localEnd, error) {
	file := os.NewFile(uintptr(descriptor), "stream")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
