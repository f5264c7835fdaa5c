package fleetfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// Connect connects to one of the engines, with TLS that verifies it, and again whenever the
// connection is lost. With wait it does not matter whether an engine answers now. log tells of the
// connection; nil: nothing does.
func (m *Member) Connect(log *slog.Logger, wait bool) (*nats.Conn, error) {
	var urls []string
	for _, engine := range m.Engines {
		urls = append(urls, "tls://"+engine)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if m.CA != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AddCert(m.CA)
	}
	o := nats.GetDefaultOptions()
	for _, option := range natsstore.Options(m.Name) {
		if err := option(&o); err != nil {
			return nil, err
		}
	}
	o.Servers, o.Name, o.Secure, o.TLSConfig = urls, "zmqauth "+m.Name, true, config
	o.Nkey, o.SignatureCB = m.public, m.seed.sign
	o.IgnoreDiscoveredServers = true
	o.RetryOnFailedConnect = wait
	o.IgnoreAuthErrorAbort = true // an engine may learn of this member later
	if log != nil {
		listen(&o, log)
	} else {
		o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // the default prints it
	}
	conn, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("%s: no engine lets %s in: %w", m.Path, m.Name, explain(err))
	}
	return conn, nil
}

// explain says what to do about an error of NATS.
func explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("%w: is it among the members that the engine has?", err)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("%w: is an engine running there, and can it be reached?", err)
	}
	return err
}

// listen has a log tell of a connection.
func listen(o *nats.Options, log *slog.Logger) {
	var errs reminder.Events
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) {
		if err == nil {
			return // it was closed here
		}
		log.Warn("zmqauth: fleet: the connection to the engine is lost", "error", err)
	}
	told := func(conn *nats.Conn) {
		log.Info("zmqauth: fleet: connected to an engine", "engine", conn.ConnectedServerName(),
			"address", conn.ConnectedAddr())
	}
	o.ConnectedCB, o.ReconnectedCB = told, told
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if count, due := errs.Due(time.Now()); due {
			log.Error("zmqauth: fleet: the engine reports an error", "error", err, "times", count)
		}
	}
}

// sign answers the challenge of an engine.
func (s secret) sign(nonce []byte) ([]byte, error) {
	pair, err := nkeys.FromSeed([]byte(s))
	if err != nil {
		return nil, errSeed
	}
	defer pair.Wipe()
	return pair.Sign(nonce)
}

// Store is the store of the fleet behind a connection. jitter is that of natsstore.Config.
func (m *Member) Store(conn *nats.Conn, jitter time.Duration) (*natsstore.Store, error) {
	return natsstore.New(conn, &natsstore.Config{Bucket: m.Bucket, Jitter: jitter})
}

// Sign is what an engine answers its own challenge with.
func (e *EngineFile) Sign(nonce []byte) ([]byte, error) { return e.seed.sign(nonce) }
