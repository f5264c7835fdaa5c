package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

func newHealth() *cobra.Command {
	var config, control string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health --config FILE",
		Short: "Show whether a proxy serves its frontends and links, and can read its files",
		Long: "health connects to every frontend of a policy and waits for the greeting of a ZeroMQ\n" +
			"socket. It runs on the host of the proxy. It does not authenticate, so that it leaves no\n" +
			"trace in the proxy's log. Use it for the health check of a container, or in a monitor.\n\n" +
			"It connects to every link, too: to a tls-serve until it has shown a certificate that is\n" +
			"valid, to a tls-connect and a tunnel for a second and a half, in which the connection\n" +
			"must stay open. What is behind those gets a connection without data.\n\n" +
			"It also reads what the policy names: password files, directories of certificates, and the\n" +
			"certificates of the frontends and links. The user who runs health must be able to read\n" +
			"them, and nobody else may write them. Run it as the proxy's user: a proxy that cannot\n" +
			"read a file any more goes on with what it has read before.\n\n" +
			"With --control it asks the proxy, too, whether it is ready. A member of a fleet is not\n" +
			"while nobody new gets in because its news are too old, and warns of that from half of the\n" +
			"time on.\n\n" +
			"The exit code is 0 if all frontends and links have answered, all files are good, and the\n" +
			"proxy is ready.",
		Example: "  zmqauth health --config zmqauth.zpl",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usagef("--config is missing")
			}
			if err := checkTimeout(timeout); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			report, err := checkHealth(ctx, config, cmp.Or(control, os.Getenv(controlVariable)))
			if out := newOutput(cmd); out.json {
				return errors.Join(out.printJSON(report), err)
			}
			if report.Proxy != nil && report.Proxy.Warning != "" {
				printError(errors.New("warning: " + report.Proxy.Warning))
			}
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&config, "config", "", "the policy, with frontends or links")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second,
		"how long all frontends and links together may take")
	cmd.Flags().StringVar(&control, "control", "", "ask the proxy at this control socket, too "+
		"(default $"+controlVariable+")")
	addJSON(cmd)
	return cmd
}

// healthReport is what health shows.
type healthReport struct {
	Healthy   bool             `json:"healthy"`
	Error     string           `json:"error,omitempty"` // of the policy as a whole
	Frontends []frontendHealth `json:"frontends"`
	Links     []linkHealth     `json:"links"`
	Files     []fileHealth     `json:"files"`
	Proxy     *proxyHealth     `json:"proxy,omitempty"` // it was asked
}

// frontendHealth says whether a frontend answers.
type frontendHealth struct {
	Name    string `json:"name"`
	Line    int    `json:"line"` // of the policy
	Bind    string `json:"bind"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
}

// checkHealth checks all frontends and links of a policy and all files that it names, and asks the
// proxy at a control socket unless that is empty. The error joins one error for each fault. The
// report has the same faults.
func checkHealth(ctx context.Context, config, control string) (healthReport, error) {
	report := healthReport{
		Frontends: []frontendHealth{}, Links: []linkHealth{}, Files: []fileHealth{},
	}
	policy, err := readPolicy(config)
	if err != nil {
		report.Error = err.Error()
		return report, err
	}
	var faults []error
	for _, f := range policy.Frontends {
		if f.TLS != "" {
			continue // its tls-serve is checked
		}
		health := frontendHealth{Name: f.Name, Line: f.Line, Bind: f.Bind, Healthy: true}
		if err := greets(ctx, f.Bind, f.Front); err != nil {
			health.Healthy, health.Error = false, err.Error()
			faults = append(faults, fmt.Errorf("frontend %s: %s: %w", f.Name, f.Bind, err))
		}
		report.Frontends = append(report.Frontends, health)
	}
	checked, unhealthy := checkLinks(ctx, policy)
	report.Links, faults = checked, append(faults, unhealthy...)
	for _, file := range namedFiles(policy) {
		if err := file.check(); err != nil {
			faults = append(faults, &policyfile.Error{File: config, Line: file.Line,
				Err: fmt.Errorf("%s: %s: %s", file.Entry, file.Path, file.Error)})
		}
		report.Files = append(report.Files, file)
	}
	if control != "" {
		if report.Proxy, err = askProxy(ctx, control); err != nil {
			faults = append(faults, err)
		}
	}
	report.Healthy = len(faults) == 0
	return report, errors.Join(faults...)
}

// readPolicy reads a policy that has frontends or links, and nothing that it names.
func readPolicy(config string) (*policyfile.Policy, error) {
	text, err := policyfile.Read(config)
	if err != nil {
		return nil, err
	}
	policy, err := policyfile.Parse(config, text)
	if err == nil && len(policy.Services) > 0 {
		return policy, errors.New("this is a policy of zmqauth serve, which health does not check: " +
			"zmqauth status, or /readyz of --http, tells whether it is ready")
	}
	if err == nil && len(policy.Frontends)+len(links.Of(policy)) == 0 {
		err = fmt.Errorf("the policy has nothing to serve: %w", proxy.ErrNothing)
	}
	return policy, err
}

// greets waits for the greeting of a ZeroMQ socket that is bound to endpoint on this host, or that
// is behind a front there. A front answers those alone who begin with a greeting, and its balancers
// with a header. It resets the connections of those who are denied or exceed its limits: that is an
// answer.
func greets(ctx context.Context, endpoint string, front *policyfile.Front) error {
	network, address, err := dialable(endpoint)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if front != nil && isReset(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	if front != nil {
		_, err = conn.Write(opening(front, conn.LocalAddr()))
	}
	// A ZeroMQ socket sends the signature as soon as it has a connection (RFC 37, the greeting).
	var signature [10]byte
	if err == nil {
		_, err = io.ReadFull(conn, signature[:])
	}
	if front != nil && isReset(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	if signature[0] != 0xff || signature[9] != 0x7f {
		return errors.New("what answers is no ZeroMQ socket")
	}
	return nil
}

// isReset tells whether the other end has reset a connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// opening is what a client sends first at a front: the signature of its greeting, and as a balancer
// the header of the PROXY protocol for a connection of its own.
func opening(front *policyfile.Front, own net.Addr) []byte {
	const local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // version 2, LOCAL
	const signature = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"
	from, ok := own.(*net.TCPAddr)
	if !ok {
		return []byte(signature)
	}
	addr := from.AddrPort().Addr().Unmap()
	isIn := func(network netip.Prefix) bool { return network.Contains(addr) }
	if slices.ContainsFunc(front.ProxyProtocol, isIn) {
		return []byte(local + signature)
	}
	return []byte(signature)
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
