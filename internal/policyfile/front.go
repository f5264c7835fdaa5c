package policyfile

import (
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// The entries of a front below a frontend.
const (
	EntryFront         = "front"
	EntryProxyProtocol = "proxy-protocol"
)

// frontFields describes the entries of a front.
func (f *Frontend) frontFields() []field {
	return []field{
		{EntryFront, &f.front, oneOf(Yes, No), false},
		{EntryProxyProtocol, new(string), f.setProxyProtocol, false},
	}
}

// setProxyProtocol reads the entry proxy-protocol. checkFront wants the entry front besides.
func (f *Frontend) setProxyProtocol(value string) error {
	networks, err := parseNetworks(value)
	if err != nil {
		return err
	}
	for _, network := range networks {
		if network.Bits() == 0 {
			return fmt.Errorf("%v is everybody, who could then say what address he has: name the "+
				"balancers", network)
		}
	}
	f.Front = &Front{ProxyProtocol: networks}
	return nil
}

// checkFront checks that a front goes with the frontend's endpoint. It forgets the value of the
// entry front.
func (p *parser) checkFront(f *Frontend, lines map[string]int) {
	on := f.front == Yes
	f.front = ""
	if line := lines[EntryProxyProtocol]; line != 0 {
		switch {
		case !on:
			p.fail(line, "%s needs %s = %s", EntryProxyProtocol, EntryFront, Yes)
		case f.TLS != "":
			p.fail(line, "%s is for bind = tcp://: the tls-serve sends no header", EntryProxyProtocol)
		case f.isIPC():
			p.fail(line, "%s is for endpoints of TCP: the clients of others have no addresses",
				EntryProxyProtocol)
		}
	}
	switch bind, err := endpoint.ParseBind(f.Bind); {
	case !on:
		f.Front = nil
	case err == nil && bind.Transport == endpoint.IPC && !bind.HasFile():
		p.fail(lines[EntryFront], "a front is for tcp:// and ipc:///PATH: everybody could connect to "+
			"an abstract Unix socket")
	case f.Front == nil:
		f.Front = new(Front)
	}
}

// String is the settings of a front as entries of a policy, in one line. It is empty where there is
// none.
func (f *Front) String() string {
	switch {
	case f == nil:
		return ""
	case len(f.ProxyProtocol) == 0:
		return EntryFront + " " + Yes
	}
	var networks []string
	for _, network := range f.ProxyProtocol {
		networks = append(networks, network.String())
	}
	return EntryFront + " " + Yes + ", " + EntryProxyProtocol + " " + strings.Join(networks, " ")
}
