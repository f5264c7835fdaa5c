package zaptest

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Handler describes the ZAP handler under test: where it takes requests, and which clients it has
// been set up to let in and to refuse. The zero value is a handler that is bound in the context and
// has no users and no keys. It gets the checks that apply to all handlers, and the check that no
// client with a password or a key gets in.
type Handler struct {
	Endpoint string        // where requests go; "": [Endpoint]
	Timeout  time.Duration // limit for each check, four times that for a check with a load; 0: 10 s

	// Restart is called when the handler no longer answers and there are more checks. It returns when
	// a new handler answers at the same endpoint. If it is nil, all remaining checks fail.
	Restart func() error

	Domain         string // where the clients below get in; "": "global"
	EveryDomain    bool   // every other domain lets the clients in too
	Address        string // an IP address that clients may come from; "": 192.0.2.1
	RefusedAddress string // an IP address that is refused; "": there are no rules for addresses

	Null             bool   // NULL clients get in
	User, Password   string // of a PLAIN client that gets in; "", "": no PLAIN client does
	Key              []byte // of a CURVE client that gets in, 32 raw bytes; nil: no CURVE client does
	EveryKey         bool   // CURVE clients with any other key get in too
	Principal        string // of a GSSAPI client that gets in; "": unknown
	RefusedPrincipal string // of a GSSAPI client that is refused; "": unknown

	// Metadata has properties that each acceptance of the PLAIN client and of the CURVE client
	// carries. Acceptances may carry others too. nil: unknown.
	Metadata map[string]string
}

// Endpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const Endpoint = "inproc://zeromq.zap.01"

const (
	defaultTimeout = 10 * time.Second
	defaultDomain  = "global"
	defaultAddress = "192.0.2.1" // reserved for documentation (RFC 5737)
	keySize        = 32
	maxString      = 255 // RFC 27: "All string fields are at most 255 characters and are ASCII only"
)

// withDefaults returns the handler with the defaults of its empty fields. It is an error if the
// fields contradict each other.
func (h Handler) withDefaults() (Handler, error) {
	for _, field := range []struct {
		value  *string
		unless string
	}{{&h.Endpoint, Endpoint}, {&h.Domain, defaultDomain}, {&h.Address, defaultAddress}} {
		if *field.value == "" {
			*field.value = field.unless
		}
	}
	if h.Timeout == 0 {
		h.Timeout = defaultTimeout
	}
	return h, h.check()
}

func (h *Handler) check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("zaptest: Handler."+format, args...))
	}
	if h.Timeout < 0 {
		wrong("Timeout: %v", h.Timeout)
	}
	if h.Key != nil && len(h.Key) != keySize {
		wrong("Key: %d bytes, a CURVE key has %d", len(h.Key), keySize)
	}
	if h.EveryKey && h.Key == nil {
		wrong("EveryKey without a Key")
	}
	if (h.User == "") != (h.Password == "") {
		wrong("User and Password: one without the other")
	}
	if h.Metadata != nil && h.User == "" && h.Key == nil {
		wrong("Metadata without a PLAIN or CURVE client whose acceptance could carry it")
	}
	for _, field := range []struct{ name, value string }{
		{"Domain", h.Domain},
		{"User", h.User},
		{"Password", h.Password},
		{"Principal", h.Principal},
		{"RefusedPrincipal", h.RefusedPrincipal},
	} {
		if err := checkString(field.value); err != nil {
			wrong("%s: %w", field.name, err)
		}
	}
	for _, field := range []struct{ name, value string }{
		{"Address", h.Address},
		{"RefusedAddress", h.RefusedAddress},
	} {
		if _, err := netip.ParseAddr(field.value); field.value != "" && err != nil {
			wrong("%s: %w", field.name, err)
		}
	}
	return errors.Join(errs...)
}

// checkString checks what RFC 27 says of all strings. The error does not repeat the value, which
// may be a secret.
func checkString(value string) error {
	if len(value) > maxString {
		return fmt.Errorf("%d characters, RFC 27 has at most %d", len(value), maxString)
	}
	for i := range len(value) {
		if value[i] >= 0x80 || value[i] == 0 {
			return fmt.Errorf("byte %d is %#02x, RFC 27 has ASCII only", i, value[i])
		}
	}
	return nil
}

// clients returns requests that must be accepted, one for each mechanism that is set up.
func (h *Handler) clients() []request {
	var clients []request
	if h.Null {
		clients = append(clients, h.null())
	}
	if h.User != "" {
		clients = append(clients, h.plain(h.User, h.Password))
	}
	if h.Key != nil {
		clients = append(clients, h.curve(string(h.Key)))
	}
	if h.Principal != "" {
		clients = append(clients, h.request("GSSAPI", h.Principal))
	}
	return clients
}

// strangers returns requests that must be refused by every handler.
func (h *Handler) strangers() []request {
	strangers := []request{h.request("KRYPTON"), h.plain(nobody, nothing)}
	if !h.EveryKey {
		strangers = append(strangers, h.curve(unknownKey))
	}
	return strangers
}

// nobody is a user name and nothing a password that no handler knows.
const nobody, nothing = "zaptest-nobody", "zaptest-nothing"

// unknownKey is a public key whose secret key nobody has.
const unknownKey = "zaptest: nobody has this key ..."
