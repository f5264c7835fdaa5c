package zaptest

import "fmt"

const version = "1.0"

// request is an authentication request as a server sends it (RFC 27, "Message Format"). Its strings
// may have any bytes.
type request struct {
	version, id                          string
	domain, address, identity, mechanism string
	credentials                          []string
}

// request returns a request as libzmq sends it. Like libzmq it always uses the same request id.
func (h *Handler) request(mechanism string, credentials ...string) request {
	return request{
		version:     version,
		id:          "1",
		domain:      h.Domain,
		address:     h.Address,
		mechanism:   mechanism,
		credentials: credentials,
	}
}

func (h *Handler) null() request                       { return h.request("NULL") }
func (h *Handler) plain(user, password string) request { return h.request("PLAIN", user, password) }
func (h *Handler) curve(key string) request            { return h.request("CURVE", key) }

// body returns the request's frames behind the empty delimiter. The version is the first.
func (r request) body() []string {
	head := []string{r.version, r.id, r.domain, r.address, r.identity, r.mechanism}
	return append(head, r.credentials...)
}

// String describes the request in an error. It does not show credentials.
func (r request) String() string {
	return fmt.Sprintf("a %.20q request of %d credential frames for domain %.40q from %.40q",
		r.mechanism, len(r.credentials), r.domain, r.address)
}
