package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
)

// Paths of the control socket for unknown keys that wait.
const (
	pendingPath = "/v1/pending"
	openPath    = "/v1/pending/open"
	donePath    = "/v1/pending/done"
	denyPath    = "/v1/pending/deny"
)

// Pending is a client with an unknown key that waits, in JSON.
type Pending struct {
	Fingerprint string            `json:"fingerprint"` // as enrol.Fingerprint has it
	Key         zmqauth.PublicKey `json:"key"`
	Domain      string            `json:"domain"`
	Address     string            `json:"address"` // of the last try
	Tries       int               `json:"tries"`
	First       time.Time         `json:"first"`
	Last        time.Time         `json:"last"`

	// Directory is where its certificate would let it in, empty where the keys of its domain come from
	// elsewhere.
	Directory string `json:"directory,omitempty"`
}

func (p Pending) request() enrol.Request { return enrol.Request{Key: p.Key, Domain: p.Domain} }

// pendingList is the answer to a request for what waits.
type pendingList struct {
	Pending []Pending `json:"pending"`
	Missed  uint64    `json:"missed"` // keys that there was no room for
}

// pending are the clients that wait, the first one first.
func (p *Program) pending() []Pending {
	if p.Desk == nil {
		return nil
	}
	all := []Pending{}
	for _, r := range p.Desk.Pending() {
		waits := Pending{r.Fingerprint(), r.Key, r.Domain, r.Address, r.Tries, r.First, r.Last, ""}
		if p.CertificatesOf != nil {
			waits.Directory = p.CertificatesOf(r.Domain)
		}
		all = append(all, waits)
	}
	return all
}

// pending answers with what waits.
func (c *Control) pending(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.URL.RawQuery != "":
		return errors.New("pending takes no query")
	case c.cfg.Program.Desk == nil:
		return errNotThere
	}
	return newEncoder(patient{w, c.cfg.patience}).Encode(
		pendingList{c.cfg.Program.pending(), c.cfg.Program.Desk.Missed()})
}

// opening is a request to open a domain for unknown keys.
type opening struct {
	Domain string `json:"domain"`
	For    string `json:"for"` // a time such as 10m
}

// openDesk opens a domain for a time, which may be in the policy already.
func (c *Control) openDesk(w http.ResponseWriter, r *http.Request) error {
	var wanted opening
	if err := c.readBody(r, &wanted); err != nil {
		return err
	}
	length, err := time.ParseDuration(wanted.For)
	switch {
	case c.cfg.Program.Desk == nil:
		return errNotThere
	case err != nil || length <= 0:
		return fmt.Errorf("%q is no time such as 10m", wanted.For)
	case wanted.Domain == "":
		return errors.New("no domain is named")
	}
	until := time.Now().Add(length)
	c.cfg.Program.Desk.Open(wanted.Domain, until)
	c.tellOrder(r, "zmqauth: unknown keys wait", "domain", wanted.Domain, "until", until)
	return newEncoder(patient{w, c.cfg.patience}).Encode(struct{}{})
}

// takePending takes a key off the list, because it was let in.
func (c *Control) takePending(w http.ResponseWriter, r *http.Request) error {
	return c.settle(w, r, "zmqauth: a key was let in", (*enrol.Desk).Remove)
}

// denyPending takes a key off the list, and has it refused.
func (c *Control) denyPending(w http.ResponseWriter, r *http.Request) error {
	return c.settle(w, r, "zmqauth: a key that waited was denied", (*enrol.Desk).Deny)
}

func (c *Control) settle(w http.ResponseWriter, r *http.Request, done string,
	settle func(*enrol.Desk, enrol.Request)) error {
	var p Pending
	if err := c.readBody(r, &p); err != nil {
		return err
	}
	desk := c.cfg.Program.Desk
	if desk == nil {
		return errNotThere
	}
	if _, err := desk.Find(enrol.Fingerprint(p.Key), p.Domain); err != nil {
		return err
	}
	settle(desk, p.request())
	c.tellOrder(r, done, "domain", p.Domain, "key", p.Key.String())
	return newEncoder(patient{w, c.cfg.patience}).Encode(struct{}{})
}

// Pending asks which clients wait, and how many keys there was no room for.
func (c *Client) Pending(ctx context.Context) (waits []Pending, missed uint64, err error) {
	var all pendingList
	err = c.order(ctx, http.MethodGet, pendingPath, nil, &all)
	return all.Pending, all.Missed, err
}

// OpenDesk has unknown keys of a domain wait for a time.
func (c *Client) OpenDesk(ctx context.Context, domain string, length time.Duration) error {
	return c.order(ctx, http.MethodPost, openPath, opening{domain, length.String()},
		new(struct{}))
}

// TakePending takes a key off the list, because it was let in.
func (c *Client) TakePending(ctx context.Context, p Pending) error {
	return c.order(ctx, http.MethodPost, donePath, p, new(struct{}))
}

// DenyPending takes a key off the list, and has it refused.
func (c *Client) DenyPending(ctx context.Context, p Pending) error {
	return c.order(ctx, http.MethodPost, denyPath, p, new(struct{}))
}
