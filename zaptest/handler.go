package zaptest

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Handler is the ZAP handler under test: where it answers, and whom it has been set up to let in
// and to keep out. The zero value is a handler that is bound in the context, and of which nothing
// is known: everything that holds for all handlers is checked, and that nobody with a password or a
// key gets in.
type Handler struct {
	Endpoint string        // where requests go; "": [Endpoint]
	Timeout  time.Duration // for each check, four times that for those with a load; 0: 10 s

	// Restart is called when the handler no longer answers and there is more to check. It returns when
	// a new one answers at the same endpoint. With nil, all that is left fails.
	Restart func() error

	Domain         string // in which all that follows holds; "": "global"
	EveryDomain    bool   // it holds in every other domain too
	Address        string // an IP address that clients may come from; "": 192.0.2.1
	RefusedAddress string // an IP address from which nobody gets in; "": there are no rules for addresses

	Null             bool   // NULL clients get in
	User, Password   string // of a PLAIN client who gets in; "", "": nobody does
	Key              []byte // of a CURVE client who gets in, 32 raw bytes; nil: nobody does
	EveryKey         bool   // every other CURVE client gets in too
	Principal        string // of a GSSAPI client who gets in; "": none is known
	RefusedPrincipal string // of a GSSAPI client who does not; "": none is known

	// Metadata is what each acceptance of the PLAIN client and of the CURVE client carries, perhaps
	// among other properties; nil: none is known.
	Metadata map[string]string
}

// Endpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const Endpoint = "inproc://zeromq.zap.01"

const (
	defaultTimeout = 10 * time.Second
	defaultDomain  = "global"
	defaultAddress = "192.0.2.1" // RFC 5737: nobody's
	keySize        = 32
	maxString      = 255 // RFC 27: "All string fields are at most 255 characters and are ASCII only"
)

// withDefaults is the handler with its empty fields filled in, or why it cannot be tested.
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
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("zaptest: Handler."+format, args...)) }
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
		{"Domain", h.Domain}, {"User", h.User}, {"Password", h.Password}, {"Principal", h.Principal}, {"RefusedPrincipal", h.RefusedPrincipal},
	} {
		if err := checkString(field.value); err != nil {
			wrong("%s: %w", field.name, err)
		}
	}
	for _, field := range []struct{ name, value string }{{"Address", h.Address}, {"RefusedAddress", h.RefusedAddress}} {
		if _, err := netip.ParseAddr(field.value); field.value != "" && err != nil {
			wrong("%s: %w", field.name, err)
		}
	}
	return errors.Join(errs...)
}

// checkString holds a value against what RFC 27 says of all strings. The error does not repeat it:
// it may be a secret.
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

// clients are requests that must be accepted, one for each mechanism that is set up.
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

// strangers are requests that must be refused whatever the setup is.
func (h *Handler) strangers() []request {
	strangers := []request{h.request("KRYPTON"), h.plain(nobody, nothing)}
	if !h.EveryKey {
		strangers = append(strangers, h.curve(unknownKey))
	}
	return strangers
}

const nobody, nothing = "zaptest-nobody", "zaptest-nothing" // a user name and a password that no handler has

// unknownKey is a point of Curve25519 that nobody has the secret of.
const unknownKey = "zaptest: nobody has this key ..."
