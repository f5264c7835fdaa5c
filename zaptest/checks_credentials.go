package zaptest

import (
	"fmt"
	"slices"
	"strings"
)

// mechanismChecks returns the checks of NULL and of unknown mechanisms.
func mechanismChecks() []check {
	return []check{
		newCheck("null-accept", nullMechanism,
			"A NULL client from an address that is not refused gets in.",
			func(t *trial) error { return t.wantVerdict(t.null(), true) },
			needNull),
		newCheck("mechanism-unknown", Beyond,
			"Nobody gets in by a mechanism that the handler does not know, and each is told so.",
			refuses((*Handler).unknownMechanisms)),
	}
}

func (h *Handler) unknownMechanisms() []request {
	requests := []request{
		h.request("KRYPTON"),
		h.request("KRYPTON", "a", "b"),
		h.request("null"),
		h.request("NULL2"),
		h.request("NUL"),
		h.request("\x00"),
		h.request("\xff\xfe"),
		h.request("%s%n"),
		h.request(strings.Repeat("M", maxString)),
	}
	for _, client := range h.clients() {
		known := client.mechanism
		for _, similar := range []string{
			strings.ToLower(known),
			known + "\x00",
			known + "\x00x",
			" " + known,
		} {
			client.mechanism = similar
			requests = append(requests, client)
		}
	}
	return requests
}

func plainChecks() []check {
	return []check{
		newCheck("plain-accept", plainMechanism,
			"A PLAIN client with a user name and its password gets in.",
			func(t *trial) error { return t.wantVerdict(t.plain(t.User, t.Password), true) },
			needPlain),
		newCheck("plain-wrong-password", Beyond,
			"A password that is nearly right, or empty, is wrong.",
			refuses((*Handler).wrongPasswords),
			needPlain),
		newCheck("plain-unknown-user", Beyond,
			"An unknown user is refused, even with the password of a known user.",
			refuses(func(h *Handler) []request { return h.unknownUsers(h.Password) }),
			needPlain),
		newCheck("plain-unknown-user-empty-password", Beyond,
			"An unknown user with an empty password is refused.",
			refuses(func(h *Handler) []request { return h.unknownUsers("") })),
		newCheck("plain-nul", Beyond,
			"A user name or password does not end at a NUL byte.",
			refuses((*Handler).cutByNUL),
			needPlain),
		newCheck("plain-unconfigured", Beyond,
			"Without users nobody gets in by PLAIN.",
			refuses((*Handler).guesses),
			noPlain),
	}
}

func wrongPassword(password string) string { return password + "x" }

func (h *Handler) wrongPasswords() []request {
	var requests []request
	for _, password := range []string{
		"",
		" ",
		h.Password[1:],
		h.Password[:len(h.Password)-1],
		wrongPassword(h.Password),
		" " + h.Password,
		h.Password + "\n",
		h.Password + h.Password,
		swapCase(h.Password),
		h.User,
	} {
		if password != h.Password {
			requests = append(requests, h.plain(h.User, password))
		}
	}
	return requests
}

// swapCase changes the case of each ASCII letter.
func swapCase(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r|0x20 && r|0x20 <= 'z' {
			return r ^ 0x20
		}
		return r
	}, text)
}

func (h *Handler) unknownUsers(password string) []request {
	requests := []request{
		h.plain("", password),
		h.plain(nobody, password),
		h.plain("*", password),
		h.plain("anonymous", password),
	}
	if h.User != "" {
		requests = append(requests,
			h.plain(h.User+"x", password),
			h.plain(h.User[:len(h.User)-1], password),
			h.plain(h.User+" ", password),
		)
	}
	return slices.DeleteFunc(requests, func(r request) bool { return r.credentials[0] == h.User })
}

func (h *Handler) cutByNUL() []request {
	return []request{
		h.plain(h.User, h.Password+"\x00"),
		h.plain(h.User, h.Password+"\x00x"),
		h.plain(h.User, "\x00"),
		h.plain(h.User, "\x00"+h.Password),
		h.plain(h.User+"\x00", h.Password),
		h.plain(h.User+"\x00x", h.Password),
	}
}

func (h *Handler) guesses() []request {
	return []request{
		h.plain("admin", "admin"),
		h.plain(nobody, nothing),
		h.plain("*", "*"),
		h.plain("anonymous", "anonymous"),
	}
}

func curveChecks() []check {
	return []check{
		newCheck("curve-accept", curveMechanism,
			"A CURVE client with a known key gets in.",
			func(t *trial) error { return t.wantVerdict(t.curve(string(t.Key)), true) },
			needCurve),
		newCheck("curve-unknown-key", Beyond,
			"A key that differs in one bit is another key, and refused.",
			refuses((*Handler).unknownKeys),
			needCurve, needUnknownKeys),
		newCheck("curve-unconfigured", Beyond,
			"Without keys nobody gets in by CURVE.",
			refuses(func(h *Handler) []request {
				return []request{h.curve(unknownKey), h.curve(strings.Repeat("\x00", keySize))}
			}),
			noCurve),
	}
}

func (h *Handler) unknownKeys() []request {
	requests := []request{
		h.curve(unknownKey),
		h.curve(strings.Repeat("\x00", keySize)),
		h.curve(strings.Repeat("\xff", keySize)),
	}
	for _, i := range []int{0, keySize / 2, keySize - 1} {
		key := slices.Clone(h.Key)
		key[i] ^= 1
		requests = append(requests, h.curve(string(key)))
	}
	return requests
}

// gssapiChecks returns the checks of GSSAPI, a mechanism that is not in RFC 27. Its credential is
// the principal that Kerberos has proved.
func gssapiChecks() []check {
	return []check{
		newCheck("gssapi-accept", Beyond,
			"A GSSAPI client with an allowed principal gets in.",
			func(t *trial) error { return t.wantVerdict(t.request("GSSAPI", t.Principal), true) },
			needPrincipal),
		newCheck("gssapi-refuse", Beyond,
			"A GSSAPI client whose principal is not allowed gets an invalid status code or no reply, "+
				"because libzmq (to 4.3.5) lets the client in on every valid one.",
			refusedPrincipal,
			needRefusedPrincipal),
	}
}

func refusedPrincipal(t *trial) error {
	replies, err := t.provoke(malformed(t.request("GSSAPI", t.RefusedPrincipal)))
	for _, got := range replies {
		if slices.Contains(statusCodes, got.frame(frameStatus)) {
			return fmt.Errorf("%s: status %s", got.what, got.frame(frameStatus))
		}
	}
	return err
}

// domainChecks returns the checks that credentials are valid in one domain only.
func domainChecks() []check {
	return []check{
		newCheck("domain-other", Beyond,
			"Credentials of one domain are none in another.",
			refusedIn(func(string) []string { return []string{"zaptest.elsewhere", "*", "default"} }),
			needDomains),
		newCheck("domain-exact", Beyond,
			"Domains are told apart exactly: by case, by blanks, by every byte, NUL among them.",
			refusedIn(similarDomains),
			needDomains),
	}
}

func similarDomains(domain string) []string {
	return []string{
		domain + "x",
		domain[1:] + "x",
		domain[:len(domain)-1] + "\x01",
		domain + " ",
		" " + domain,
		domain + ".",
		swapCase(domain) + "x",
		strings.ToUpper(domain),
		domain + "\x00",
		domain + "\x00x",
		domain + "\xff",
	}
}

// refusedIn returns a check that the PLAIN client and the CURVE client are refused in the domains.
func refusedIn(domains func(string) []string) func(*trial) error {
	return func(t *trial) error {
		var requests []request
		for _, client := range t.clients() {
			if client.mechanism != "PLAIN" && client.mechanism != "CURVE" {
				continue
			}
			for _, domain := range domains(t.Domain) {
				if client.domain = domain; domain != t.Domain {
					requests = append(requests, client)
				}
			}
		}
		return t.wantAll(requests, false)
	}
}
