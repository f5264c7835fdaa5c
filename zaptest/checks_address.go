package zaptest

import (
	"net/netip"
	"slices"
	"strings"
)

// addressChecks are about where clients come from. RFC 27 leaves the rules to the handler.
func addressChecks() []check {
	return []check{
		{Requirement{"address-refuse", Beyond, "Who comes from an address that is refused does not get in, whatever the credentials."},
			[]need{needRules, needClient}, refuses(func(h *Handler) []request { return from(h.clients(), h.RefusedAddress) })},
		{Requirement{"address-forms", Beyond, "An address is the same in all its forms, such as ::ffff:192.0.2.1 for a client over IPv4 of an IPv6 socket."},
			[]need{needRules, needClient}, addressForms},
		{Requirement{"address-unreadable", Beyond, "Where there are rules for addresses, nobody gets in from what is none."},
			[]need{needRules, needClient}, refuses(func(h *Handler) []request { return from(h.clients(), unreadable(h.Address)...) })},
	}
}

// from are clients, each from each address.
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

// forms are other ways to write an address, which check has found to be one.
func forms(address string) []string {
	ip := netip.MustParseAddr(address).WithZone("").Unmap()
	if ip.Is4() {
		mapped := netip.AddrFrom16(ip.As16())
		return []string{ip.String(), mapped.String(), strings.ToUpper(mapped.String())}
	}
	return slices.Compact([]string{ip.String(), ip.StringExpanded(), strings.ToUpper(ip.StringExpanded())})
}

// unreadable are texts that are no address, some of which begin with one.
func unreadable(address string) []string {
	return []string{"", "nonsense", "*", "192.0.2", "192.0.2.256", "0xc0.0.2.1", address + "/32", address + " ", " " + address, address + "\n",
		address + "\x00", address + "\x00x", "\xff\xfe", strings.Repeat("1", 1000)}
}
