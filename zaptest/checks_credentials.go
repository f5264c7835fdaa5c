package zaptest

import (
	"fmt"
	"slices"
	"strings"
)

// mechanismChecks are about which mechanisms there are.
func mechanismChecks() []check {
	return []check{
		{Requirement{"null-accept", nullMechanism, "A NULL client from an address that is not refused gets in."},
			[]need{needNull}, func(t *trial) error { return t.wantVerdict(t.null(), true) }},
		{Requirement{"mechanism-unknown", Beyond, "Nobody gets in by a mechanism that the handler does not know, and each is told so."},
			nil, refuses((*Handler).unknownMechanisms)},
	}
}

func (h *Handler) unknownMechanisms() []request {
	requests := []request{h.request("KRYPTON"), h.request("KRYPTON", "a", "b"), h.request("null"), h.request("NULL2"), h.request("NUL"),
		h.request("\x00"), h.request("\xff\xfe"), h.request("%s%n"), h.request(strings.Repeat("M", maxString))}
	for _, client := range h.clients() {
		for _, mechanism := range []string{strings.ToLower(client.mechanism), client.mechanism + "\x00", client.mechanism + "\x00x", " " + client.mechanism} {
			changed := client
			changed.mechanism = mechanism
			requests = append(requests, changed)
		}
	}
	return requests
}

func plainChecks() []check {
	return []check{
		{Requirement{"plain-accept", plainMechanism, "A PLAIN client with a user name and its password gets in."},
			[]need{needPlain}, func(t *trial) error { return t.wantVerdict(t.plain(t.User, t.Password), true) }},
		{Requirement{"plain-wrong-password", Beyond, "A password that is nearly right, or empty, is wrong."},
			[]need{needPlain}, refuses((*Handler).wrongPasswords)},
		{Requirement{"plain-unknown-user", Beyond, "An unknown user is refused, also with the password of another."},
			[]need{needPlain}, refuses(func(h *Handler) []request { return h.unknownUsers(h.Password) })},
		{Requirement{"plain-unknown-user-empty-password", Beyond, "An unknown user with an empty password is refused."},
			nil, refuses(func(h *Handler) []request { return h.unknownUsers("") })},
		{Requirement{"plain-nul", Beyond, "A user name or password does not end at a NUL byte."},
			[]need{needPlain}, refuses((*Handler).cutByNUL)},
		{Requirement{"plain-unconfigured", Beyond, "Without users nobody gets in by PLAIN."},
			[]need{noPlain}, refuses((*Handler).guesses)},
	}
}

func wrongPassword(password string) string { return password + "x" }

func (h *Handler) wrongPasswords() []request {
	var requests []request
	for _, password := range []string{"", " ", h.Password[1:], h.Password[:len(h.Password)-1], wrongPassword(h.Password), " " + h.Password,
		h.Password + "\n", h.Password + h.Password, swapCase(h.Password), h.User} {
		if password != h.Password {
			requests = append(requests, h.plain(h.User, password))
		}
	}
	return requests
}

// swapCase turns the case of each letter.
func swapCase(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r|0x20 && r|0x20 <= 'z' {
			return r ^ 0x20
		}
		return r
	}, text)
}

func (h *Handler) unknownUsers(password string) []request {
	requests := []request{h.plain("", password), h.plain(nobody, password), h.plain("*", password), h.plain("anonymous", password)}
	if h.User != "" {
		requests = append(requests, h.plain(h.User+"x", password), h.plain(h.User[:len(h.User)-1], password), h.plain(h.User+" ", password))
	}
	return slices.DeleteFunc(requests, func(r request) bool { return r.credentials[0] == h.User })
}

func (h *Handler) cutByNUL() []request {
	return []request{
		h.plain(h.User, h.Password+"\x00"), h.plain(h.User, h.Password+"\x00x"), h.plain(h.User, "\x00"), h.plain(h.User, "\x00"+h.Password),
		h.plain(h.User+"\x00", h.Password), h.plain(h.User+"\x00x", h.Password),
	}
}

func (h *Handler) guesses() []request {
	return []request{h.plain("admin", "admin"), h.plain(nobody, nothing), h.plain("*", "*"), h.plain("anonymous", "anonymous")}
}

func curveChecks() []check {
	return []check{
		{Requirement{"curve-accept", curveMechanism, "A CURVE client with a key that is known gets in."},
			[]need{needCurve}, func(t *trial) error { return t.wantVerdict(t.curve(string(t.Key)), true) }},
		{Requirement{"curve-unknown-key", Beyond, "A key that differs in one bit is another key, and refused."},
			[]need{needCurve, needUnknownKeys}, refuses((*Handler).unknownKeys)},
		{Requirement{"curve-unconfigured", Beyond, "Without keys nobody gets in by CURVE."},
			[]need{noCurve}, refuses(func(h *Handler) []request {
				return []request{h.curve(unknownKey), h.curve(strings.Repeat("\x00", keySize))}
			})},
	}
}

func (h *Handler) unknownKeys() []request {
	requests := []request{h.curve(unknownKey), h.curve(strings.Repeat("\x00", keySize)), h.curve(strings.Repeat("\xff", keySize))}
	for _, i := range []int{0, keySize / 2, keySize - 1} {
		key := slices.Clone(h.Key)
		key[i] ^= 1
		requests = append(requests, h.curve(string(key)))
	}
	return requests
}

// gssapiChecks are about a mechanism that came after RFC 27. Its credential is the principal that
// Kerberos has proved.
func gssapiChecks() []check {
	return []check{
		{Requirement{"gssapi-accept", Beyond, "A GSSAPI client with a principal that may get in is accepted."},
			[]need{needPrincipal}, func(t *trial) error { return t.wantVerdict(t.request("GSSAPI", t.Principal), true) }},
		{Requirement{"gssapi-refuse", Beyond, "A GSSAPI client who may not get in is told so by an invalid status code or not at all, because libzmq (to 4.3.5) lets it in on any valid one."},
			[]need{needRefusedPrincipal}, refusedPrincipal},
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

// domainChecks are about credentials that hold in one domain.
func domainChecks() []check {
	return []check{
		{Requirement{"domain-other", Beyond, "Credentials of one domain are none in another."},
			[]need{needDomains}, inDomains(func(string) []string { return []string{"zaptest.elsewhere", "*", "default"} })},
		{Requirement{"domain-exact", Beyond, "Domains are told apart exactly: by case, by blanks, by every byte, NUL among them."},
			[]need{needDomains}, inDomains(similarDomains)},
	}
}

func similarDomains(domain string) []string {
	return []string{domain + "x", domain[1:] + "x", domain[:len(domain)-1] + "\x01", domain + " ", " " + domain, domain + ".", swapCase(domain) + "x",
		strings.ToUpper(domain), domain + "\x00", domain + "\x00x", domain + "\xff"}
}

// inDomains wants the PLAIN client and the CURVE client refused in those domains.
func inDomains(domains func(string) []string) func(*trial) error {
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
