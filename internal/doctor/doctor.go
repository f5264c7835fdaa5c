// Package doctor finds what stands between a client and a ZeroMQ server, and says it in plain
// words: the name, the connection, what the port speaks, the mechanism, the server's key, and what
// the server decides. Its texts may have what a peer has sent, always quoted.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

// Result is what a step has come to.
type Result string

// The results of steps.
const (
	Good Result = "good"
	Note Result = "note" // worth a look, and not in the way
	Bad  Result = "bad"  // this stands in the way
)

// The names of steps, in the order in which they are taken.
const (
	StepName      = "name"       // TCP: the host's name has addresses
	StepFile      = "file"       // IPC: the path is a socket
	StepConnect   = "connect"    // somebody accepts connections
	StepGreeting  = "greeting"   // that is a ZeroMQ socket
	StepMechanism = "mechanism"  // it has the client's mechanism
	StepServerKey = "server key" // CURVE: it has the secret key of the server's public one
	StepAccess    = "access"     // it accepts the client
)

// Step is one thing that has been tried.
type Step struct {
	Name   string `json:"step"`
	Result Result `json:"result"`
	Seen   string `json:"seen"`          // what has been seen
	Try    string `json:"try,omitempty"` // what to try; empty: nothing
}

// Client is who wants to get in.
type Client struct {
	Mechanism string            // NULL, PLAIN, CURVE or GSSAPI
	ServerKey zmqauth.PublicKey // CURVE: the server's
	Socket    string            // the type of the client's socket, for texts

	// Enter makes the whole handshake, as zmqauth.Connect does. nil: it is left out.
	Enter func(ctx context.Context) error
}

// Report is what Examine has found.
type Report struct {
	Steps []Step
	Local net.Addr // this end of a TCP connection; nil: there was none
}

// Well tells whether nothing stands in the way.
func (r *Report) Well() bool { return r.first(Bad) == nil }

func (r *Report) first(result Result) *Step {
	for i := range r.Steps {
		if r.Steps[i].Result == result {
			return &r.Steps[i]
		}
	}
	return nil
}

func (r *Report) add(name string, result Result, seen, try string) bool {
	r.Steps = append(r.Steps, Step{name, result, seen, try})
	return result != Bad
}

// examination is one run of Examine.
type examination struct {
	Report
	at     endpoint.Endpoint
	dial   []string // addresses to connect to, in the order of the lookup
	share  time.Duration
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// shares is into how many parts the time is divided: no step takes all of it.
const shares = 4

// Examine takes the steps from a client to the server at an endpoint, until one fails. ctx limits
// the whole; without a deadline a step takes a few seconds at most, but for Enter.
//
// It makes several connections, one after another. In those to see what a port speaks it sends the
// beginning of a greeting of ZMTP, and where that has no answer, one of TLS and a request of HTTP.
func Examine(ctx context.Context, at endpoint.Endpoint, client Client) *Report {
	x := newExamination(ctx, at)
	if x.reach(ctx) {
		x.meet(ctx, client)
	}
	return &x.Report
}

// Unreached is the step that keeps clients from a connection to an endpoint; nil: there is none.
func Unreached(ctx context.Context, at endpoint.Endpoint) *Step {
	x := newExamination(ctx, at)
	x.reach(ctx)
	return x.first(Bad)
}

func newExamination(ctx context.Context, at endpoint.Endpoint) *examination {
	x := &examination{at: at, share: 3 * time.Second, lookup: lookup}
	if end, ok := ctx.Deadline(); ok {
		x.share = min(x.share, time.Until(end)/shares)
	}
	return x
}

// meet takes the steps behind the connection.
func (x *examination) meet(ctx context.Context, client Client) {
	greeting, ok := x.greet(ctx, client.Mechanism)
	if !ok || !x.checkMechanism(greeting, client) {
		return
	}
	if client.Mechanism == "CURVE" && !x.checkServerKey(ctx, client) {
		return
	}
	if client.Enter != nil {
		x.enter(ctx, client)
	}
}

func (x *examination) checkMechanism(theirs string, client Client) bool {
	switch {
	case theirs == client.Mechanism:
		return x.add(StepMechanism, Good, "the server and this client have "+theirs, "")
	case !isMechanism(theirs):
		return x.add(StepMechanism, Bad, fmt.Sprintf("the server has the mechanism %q", theirs),
			"a client with that mechanism; zmqauth has none")
	}
	return x.add(StepMechanism, Bad, fmt.Sprintf("the server has %s, this client %s", theirs,
		client.Mechanism), mechanismFlags[theirs])
}

func (x *examination) checkServerKey(ctx context.Context, client Client) bool {
	conn, err := x.connect(ctx)
	if err == nil {
		err = zmtp.CheckServerKey(conn, client.ServerKey, x.share)
	}
	key := client.ServerKey.String()
	switch {
	case err == nil:
		return x.add(StepServerKey, Good, "the server has the secret key of "+key, "")
	case isTimeout(err):
		return x.add(StepServerKey, Bad, "the server does not answer the first command of CURVE",
			"again, with a longer --timeout: the server may be busy")
	}
	return x.add(StepServerKey, Bad, "the server cuts the connection off: its key is not "+key,
		"ask who runs the server for its public key (zmqauth pubkey prints it), and compare the "+
			"fingerprints; or this is another server's port")
}

// enter makes the handshake as programs do.
func (x *examination) enter(ctx context.Context, client Client) bool {
	err := client.Enter(ctx)
	refused, isRefusal := errors.AsType[*zmqauth.HandshakeError](err)
	switch {
	case err == nil:
		return x.add(StepAccess, Good, "accepted, with "+client.Mechanism, "")
	case isRefusal && refused.Status == 0:
		return x.add(StepAccess, Bad, "the server cuts the handshake off without a reason",
			cutOff(client))
	case isRefusal:
		seen := strings.TrimPrefix(err.Error(), "zmqauth: "+refused.Endpoint+": ")
		return x.add(StepAccess, Bad, seen, refusals[refused.Status])
	case errors.Is(err, context.DeadlineExceeded):
		return x.add(StepAccess, Bad, "the server has not answered the handshake in time",
			tryUnanswered+ticket(client))
	}
	return x.add(StepAccess, Bad, err.Error(), "")
}
