package zaptest

import (
	"net/netip"
	"slices"
	"strings"
)

// addressChecks returns the checks of address rules. RFC 27 leaves the rules to the handler.
func addressChecks() []check {
	return []check{
		newCheck("address-refuse", Beyond,
			"A client from a refused address does not get in, whatever its credentials.",
			refuses(func(h *Handler) []request { return from(h.clients(), h.RefusedAddress) }),
			needRules, needClient),
		newCheck("address-forms", Beyond,
			"An address is the same in all its forms, such as ::ffff:192.0.2.1 for a client over IPv4 "+
				"of an IPv6 socket.",
			addressForms,
			needRules, needClient),
		newCheck("address-unreadable", Beyond,
			"Where there are rules for addresses, nobody gets in from what is none.",
			refuses(func(h *Handler) []request {
				return from(h.clients(), unreadable(h.Address)...)
			}),
			needRules, needClient),
	}
}

// from returns a request of each client from each address.
func from(clients []request, addresses ...string) []request {
	var requests []request
	for _, client := range clients {
		for _, client.address = range addresses {
			requests = append(requests, client)
		}
	}
	return requests
}

func addressForms(t *trial) error {
	if err := t.wantAll(from(t.clients(), forms(t.RefusedAddress)...), false); err != nil {
		return err
	}
	admitted, err := t.admitted()
	if err != nil {
		return err
	}
	return t.wantAll(from(admitted, forms(t.Address)...), true)
}

// forms returns other ways to write an address. Handler.check has made sure that it is an address.
func forms(address string) []string {
	ip := netip.MustParseAddr(address).WithZone("").Unmap()
	if ip.Is4() {
		mapped := netip.AddrFrom16(ip.As16())
		return []string{ip.String(), mapped.String(), strings.ToUpper(mapped.String())}
	}
	expanded := ip.StringExpanded()
	return slices.Compact([]string{ip.String(), expanded, strings.ToUpper(expanded)})
}

// unreadable returns texts that are not an address. Some begin with one.
func unreadable(address string) []string {
	return []string{
		"",
		"nonsense",
		"*",
		"192.0.2",
		"192.0.2.256",
		"0xc0.0.2.1",
		address + "/32",
		address + " ",
		" " + address,
		address + "\n",
		address + "\x00",
		address + "\x00x",
		"\xff\xfe",
		strings.Repeat("1", 1000),
	}
}
