package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

func newHealth() *cobra.Command {
	var config string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health --config FILE",
		Short: "Show whether a proxy serves its frontends",
		Long: "health connects to every frontend of a policy and waits for the greeting of a ZeroMQ\n" +
			"socket. It runs on the host of the proxy. It does not authenticate, so that it leaves no\n" +
			"trace in the proxy's log. The exit code is 0 if all frontends have answered. Use it for\n" +
			"the health check of a container, or in a monitor.",
		Example: "  zmqauth health --config zmqauth.zpl",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usagef("--config is missing")
			}
			if err := checkTimeout(timeout); err != nil {
				return err
			}
			loaded, err := proxy.Load(config)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return checkHealth(ctx, loaded.File.Frontends)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&config, "config", "", "the policy, with frontends")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second,
		"how long all frontends together may take")
	return cmd
}

// checkHealth checks all frontends. The error joins one error for each that does not answer.
func checkHealth(ctx context.Context, frontends []policyfile.Frontend) error {
	if len(frontends) == 0 {
		return errors.New("the policy has no frontend")
	}
	var faults []error
	for _, f := range frontends {
		if err := greets(ctx, f.Bind); err != nil {
			faults = append(faults, fmt.Errorf("frontend %s: %s: %w", f.Name, f.Bind, err))
		}
	}
	return errors.Join(faults...)
}

// greets waits for the greeting of a ZeroMQ socket that is bound to endpoint on this host.
func greets(ctx context.Context, endpoint string) error {
	network, address, err := dialable(endpoint)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	// A ZeroMQ socket sends the signature as soon as it has a connection (RFC 37, the greeting).
	var signature [10]byte
	if _, err := io.ReadFull(conn, signature[:]); err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	if signature[0] != 0xff || signature[9] != 0x7f {
		return errors.New("what answers is no ZeroMQ socket")
	}
	return nil
}

// dialable returns the address at which this host can reach a socket that is bound to endpoint.
func dialable(endpoint string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(endpoint, "ipc://"); ok {
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(endpoint, "tcp://"))
	switch {
	case err != nil:
		return "", "", err
	case port == "*" || port == "0":
		return "", "", errors.New("the system has chosen its port, which nobody but the proxy knows")
	case host == "*":
		return "tcp", net.JoinHostPort("", port), nil // this host, by IPv4 or IPv6
	}
	if device, err := net.InterfaceByName(host); err == nil {
		host, err = firstAddress(device)
		if err != nil {
			return "", "", err
		}
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

// firstAddress returns the first IPv4 address of an interface, to which libzmq binds.
func firstAddress(device *net.Interface) (string, error) {
	addresses, err := device.Addrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && ip.IP.To4() != nil {
			return ip.IP.String(), nil
		}
	}
	return "", fmt.Errorf("the interface %s has no IPv4 address", device.Name)
}
