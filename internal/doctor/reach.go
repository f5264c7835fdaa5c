package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// maxAddresses is how many addresses of a name are tried.
const maxAddresses = 8

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// reach takes the steps to a connection.
func (x *examination) reach(ctx context.Context) bool {
	if x.at.Transport == endpoint.IPC {
		return x.checkFile() && x.tryFile(ctx)
	}
	return x.resolve(ctx) && x.tryAddresses(ctx)
}

// resolve finds the host's addresses.
func (x *examination) resolve(ctx context.Context) bool {
	if addr, err := netip.ParseAddr(x.at.Host); err == nil {
		x.dial = []string{net.JoinHostPort(addr.String(), x.at.Port)}
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, x.share)
	defer cancel()
	addrs, err := x.lookup(ctx, x.at.Host)
	fault, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && fault.IsNotFound, err == nil && len(addrs) == 0:
		return x.add(StepName, Bad, fmt.Sprintf("%q has no address, neither A nor AAAA", x.at.Host),
			tryName)
	case err != nil:
		return x.add(StepName, Bad, fmt.Sprintf("%q cannot be looked up: %s", x.at.Host, plain(err)),
			tryResolver)
	}
	var a, aaaa []string
	for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
		addr = addr.Unmap()
		if addr.Is4() {
			a = append(a, addr.String())
		} else {
			aaaa = append(aaaa, addr.String())
		}
		x.dial = append(x.dial, net.JoinHostPort(addr.String(), x.at.Port))
	}
	return x.add(StepName, Good, fmt.Sprintf("%q has the addresses: %s (A), %s (AAAA)", x.at.Host,
		listed(a), listed(aaaa)), "")
}

func listed(addrs []string) string {
	if len(addrs) == 0 {
		return "none"
	}
	return strings.Join(addrs, " ")
}

// tryAddresses connects to all addresses at once. Those that answer remain.
func (x *examination) tryAddresses(ctx context.Context) bool {
	errs := make([]error, len(x.dial))
	done := make(chan struct{})
	for i, addr := range x.dial {
		go func() {
			conn, err := x.dialTo(ctx, endpoint.TCP, addr)
			if err == nil {
				_ = conn.Close()
			}
			errs[i] = err
			done <- struct{}{}
		}()
	}
	for range x.dial {
		<-done
	}
	var answer, seen []string
	for i, addr := range x.dial {
		if errs[i] == nil {
			answer = append(answer, addr)
		} else {
			seen = append(seen, addr+": "+plain(errs[i]))
		}
	}
	x.dial = answer
	if len(answer) == 0 {
		return x.add(StepConnect, Bad, strings.Join(seen, "; "), tryDial(errs[0]))
	}
	result, accepts, try := Good, strings.Join(answer, " ")+" accepts connections", []string(nil)
	if len(seen) > 0 {
		result, try = Note, append(try, tryAllAddresses)
	}
	if !slices.ContainsFunc(answer, isIPv4) {
		result, try = Note, append(try, tryIPv6)
	}
	return x.add(StepConnect, result, strings.Join(append([]string{accepts}, seen...), "; "),
		strings.Join(try, "; "))
}

func isIPv4(addr string) bool { return !strings.HasPrefix(addr, "[") }

func tryDial(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return tryRefused
	case errors.Is(err, syscall.EHOSTUNREACH):
		return tryHost
	case errors.Is(err, fs.ErrPermission):
		return tryForbidden
	case isTimeout(err):
		return tryTimeout
	}
	return tryRoute
}

// checkFile looks at the file of a Unix socket.
func (x *examination) checkFile() bool {
	x.dial = []string{x.at.Path}
	if !x.at.HasFile() {
		return true
	}
	info, err := os.Stat(x.at.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x.add(StepFile, Bad, missing(x.at.Path), tryMissing)
	case errors.Is(err, fs.ErrPermission):
		return x.add(StepFile, Bad, fmt.Sprintf("%q: no permission to search its directory",
			x.at.Path), tryPermission)
	case err != nil:
		return x.add(StepFile, Bad, fmt.Sprintf("%q: %s", x.at.Path, plain(err)), tryMissing)
	case info.Mode().Type() != fs.ModeSocket:
		return x.add(StepFile, Bad, fmt.Sprintf("%q is no socket", x.at.Path), tryNoSocket)
	}
	seen := fmt.Sprintf("%q is a socket of mode %04o", x.at.Path, info.Mode().Perm())
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		seen += fmt.Sprintf(", of user %d and group %d", owner.Uid, owner.Gid)
	}
	return x.add(StepFile, Good, seen, "")
}

// missing says how much of a path is there.
func missing(path string) string {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Sprintf("%q does not exist, nor does its directory", path)
	}
	return fmt.Sprintf("%q does not exist; its directory does", path)
}

func (x *examination) tryFile(ctx context.Context) bool {
	conn, err := x.connect(ctx)
	switch {
	case err == nil:
		_ = conn.Close()
		return x.add(StepConnect, Good, "somebody accepts connections", "")
	case errors.Is(err, fs.ErrPermission):
		return x.add(StepConnect, Bad, fmt.Sprintf("user %d may not connect: %s", os.Geteuid(),
			plain(err)), tryPermission)
	case errors.Is(err, syscall.ECONNREFUSED) && x.at.HasFile():
		return x.add(StepConnect, Bad, "nobody listens at the socket", tryLeftover)
	case errors.Is(err, syscall.ECONNREFUSED):
		return x.add(StepConnect, Bad, "nobody listens at that abstract name", tryMissing)
	}
	return x.add(StepConnect, Bad, plain(err), trySilence)
}

// connect connects to the address that has answered first.
func (x *examination) connect(ctx context.Context) (net.Conn, error) {
	if x.at.Transport == endpoint.IPC {
		return x.dialTo(ctx, "unix", x.at.Path)
	}
	return x.dialTo(ctx, endpoint.TCP, x.dial[0])
}

func (x *examination) dialTo(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: max(x.share, time.Millisecond)}
	return dialer.DialContext(ctx, network, addr)
}

func isTimeout(err error) bool {
	fault, ok := errors.AsType[net.Error](err)
	return ok && fault.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// plain is the cause of an error of package net or os, without the operation and the addresses.
func plain(err error) string {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number.Error()
	}
	if isTimeout(err) {
		return "no answer in time"
	}
	if fault, ok := errors.AsType[*net.DNSError](err); ok {
		return fault.Err
	}
	return err.Error()
}
