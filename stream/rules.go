package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// rules are what a peer's certificate is judged by, as the files are now. They never change.
type rules struct {
	use     use
	name    string       // that a server's certificate must have; "": any
	ca      *authorities // nil: the CAs of the system
	allowed *allowed     // nil: every certificate
	revoked *revocations // nil: there are no lists
}

// verdict is what the rules say of a certificate that they accept.
type verdict struct {
	chain []*x509.Certificate // the peer's own first
	until time.Time           // when that may end without a change of the rules
}

var errNoChain = errors.New("the certificate is of no CA that is in force")

// judge returns the chain by which a peer is let in. The chains that crypto/tls has found may be
// those of earlier rules. So if none is good, others are looked for.
func (r *rules) judge(state tls.ConnectionState, now time.Time) (verdict, error) {
	if len(state.PeerCertificates) == 0 {
		return verdict{}, errors.New("there is no certificate")
	}
	v, err := r.choose(state.VerifiedChains, now)
	if err == nil {
		return v, nil
	}
	chains, unverified := r.verify(state.PeerCertificates, now)
	if unverified != nil {
		return verdict{}, unverified
	}
	return r.choose(chains, now)
}

// verify looks for the chains of a peer, as crypto/tls does.
func (r *rules) verify(peer []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{
		DNSName: r.name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{r.use.usage},
		Intermediates: x509.NewCertPool(),
	}
	if r.ca != nil {
		options.Roots = r.ca.pool
	}
	for _, c := range peer[1:] {
		options.Intermediates.AddCert(c)
	}
	return peer[0].Verify(options)
}

// choose returns the first of the chains that is good, or why the last one is not.
func (r *rules) choose(chains [][]*x509.Certificate, now time.Time) (v verdict, err error) {
	err = errNoChain
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		if v, err = r.check(chain, now); err == nil {
			return v, nil
		}
	}
	return verdict{}, err
}

// check judges one chain whose signatures are known to be good.
func (r *rules) check(chain []*x509.Certificate, now time.Time) (verdict, error) {
	if !r.ca.accepts(chain) {
		return verdict{}, errNoChain
	}
	if err := r.allowed.check(chain[0]); err != nil {
		return verdict{}, err
	}
	next, err := r.revoked.check(chain, now)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{chain: chain, until: chain[0].NotAfter}
	if !next.IsZero() {
		v.until = earlier(v.until, next)
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return verdict{}, x509.CertificateInvalidError{Cert: c, Reason: x509.Expired}
		}
		v.until = earlier(v.until, c.NotAfter)
	}
	return v, nil
}
