package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"
)

// settleTime is how long the files must have been left alone before open connections are judged by
// them. A file that is written in place is a smaller set of CAs for a moment.
const settleTime = 250 * time.Millisecond

var errNotOurs = errors.New("stream: TLSAuthenticator: not a connection that it has returned")

// SetAllowed replaces AllowedNames and AllowedFingerprints, from the next handshake on. A [Server]
// ends the connections of certificates that are not allowed any more. An error means that nothing
// has changed: an entry makes no sense, or a list that is not nil has no ClientAuth that requires
// certificates and verifies them. It may be called at any time, by any goroutine.
func (a *TLSAuthenticator) SetAllowed(names, fingerprints []string) error {
	if a == nil {
		return errNilAuthenticator
	}
	allowed, err := newAllowed(names, fingerprints)
	if err != nil {
		return err
	}
	policy, err := a.policy()
	if err != nil {
		return err
	}
	if (names != nil || fingerprints != nil) && policy != tls.RequireAndVerifyClientCert {
		return errNeedsCertificates
	}
	f := &a.followed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed = allowed
	if f.current != nil {
		a.renew(f.now())
		f.changed = time.Time{} // it is settled
	}
	return nil
}

// Revision looks at the files, and returns another number than before if [TLSAuthenticator.Rejudge]
// may have another answer. A change of the files counts a moment after the last write.
func (a *TLSAuthenticator) Revision() uint64 {
	if a == nil {
		return 0
	}
	f := &a.followed
	_, lines, _ := a.look() // an error is logged, and is what Rejudge says
	for _, line := range lines {
		f.lines.add(a.logger(), line, nil) // a slow logger must not delay what is taken back
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	return f.settledRevision
}

// settle makes the present terms those that open connections are judged by, if the files have been
// left alone. The caller holds the mutex.
func (f *followed) settle() {
	if age := f.now().Sub(f.changed); age < 0 || age >= settleTime || f.settled == nil {
		f.settled, f.settledRevision = f.current, f.revision
	}
}

// Rejudge returns nil if a client with the same certificate would be let in now, and until when
// that holds if no file changes. conn and credentials are what Authenticate has returned; one of
// the two is enough, so that conn may wrap that connection. It does not look at the files:
// [TLSAuthenticator.Revision] does.
func (a *TLSAuthenticator) Rejudge(conn net.Conn, credentials any) (until time.Time, err error) {
	var state tls.ConnectionState
	secured, ours := conn.(*tls.Conn)
	chain, known := credentials.([]*x509.Certificate)
	switch {
	case a == nil:
		return time.Time{}, errNilAuthenticator
	case ours:
		state = secured.ConnectionState()
	case known:
		state.PeerCertificates, state.VerifiedChains = chain, [][]*x509.Certificate{chain}
	default:
		return time.Time{}, errNotOurs
	}
	f := &a.followed
	f.mu.Lock()
	f.settle()
	current, settled, now, fault := f.current, f.settled, f.now(), a.stale(f.now())
	f.mu.Unlock()
	if current == nil {
		return time.Time{}, errNotOurs
	}
	if fault != nil {
		return time.Time{}, fault
	}
	v, err := current.judge(state, now)
	if err != nil && settled != current { // what is being written may not be the whole yet
		v, err = settled.judge(state, now)
	}
	return v.until, err
}
