package natsstore

import (
	"context"
	"net"
	"time"
)

const (
	// dialTime is how long an engine may take to answer.
	dialTime = 2 * time.Second
	// dialInterval is the time between two attempts that run beside each other. What was sent while
	// a network was away is lost: TCP sends it again after 1 s and 3 s, a resolver after 5 s.
	dialInterval = 200 * time.Millisecond
)

// dialer connects to an engine soon after the network is back: it does not wait for one attempt. It
// is for nats.SetCustomDialer.
type dialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// dialOnce is one attempt, with a look-up of its own.
func dialOnce(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Resolver: new(net.Resolver)}
	return d.DialContext(ctx, network, address)
}

// Dial returns what the first attempt comes to that is answered.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	next := time.NewTicker(dialInterval)
	defer next.Stop()
	for {
		go func() {
			conn, err := d.dial(ctx, network, address)
			select {
			case results <- result{conn, err}:
			case <-ctx.Done():
				if err == nil {
					_ = conn.Close() // another attempt was answered before
				}
			}
		}()
		select {
		case r := <-results:
			return r.conn, r.err
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: context.Cause(ctx)}
		case <-next.C:
		}
	}
}
