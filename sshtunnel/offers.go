package sshtunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// offer is a key, or a certificate for it, that is offered to the server.
type offer struct {
	ssh.AlgorithmSigner
	source ssh.Signer // what signs: the key without the certificate
	failed error      // why it could not sign
}

// SignWithAlgorithm signs, and records an error. x/crypto gives up all keys after one.
func (o *offer) SignWithAlgorithm(
	random io.Reader, data []byte, algorithm string,
) (*ssh.Signature, error) {
	signature, err := o.AlgorithmSigner.SignWithAlgorithm(random, data, algorithm)
	if err != nil {
		o.failed = err
	}
	return signature, err
}

// offersFor returns the certificates of a key, and then the key itself.
func offersFor(source ssh.Signer, certificates []userCertificate) (all []*offer) {
	for _, signer := range withCertificates(source, certificates) {
		if able, ok := signer.(ssh.AlgorithmSigner); ok { // all of x/crypto's are
			all = append(all, &offer{AlgorithmSigner: able, source: source})
		}
	}
	return all
}

// signers returns the keys to offer, in order: the configured ones, from the agent or from files;
// the other keys of the agent; the default files.
func (l *login) signers() ([]ssh.Signer, error) {
	agentKeys := l.agentSigners()
	l.keys, l.offered = nil, nil
	certificates, faults := loadCertificates(l.target.certificates)
	l.causes = append(l.causes, faults...)
	var defaults []*offer
	var defaultNames []string
	for _, file := range l.target.keys {
		found, err := loadIdentity(l.ctx, file, l.target, l.secrets)
		if err != nil {
			if !file.byDefault || !errors.Is(err, fs.ErrNotExist) {
				l.unusable(file, err)
			}
			continue
		}
		var offers []*offer
		offers, agentKeys = l.offersOf(found, agentKeys, certificates)
		switch {
		case len(offers) == 0:
			l.unusable(file, found.fault)
		case file.byDefault:
			defaults, defaultNames = append(defaults, offers...), append(defaultNames, file.path)
		default:
			l.keys, l.offered = append(l.keys, offers...), append(l.offered, file.path)
		}
	}
	if l.fatal != nil {
		return nil, l.fatal
	}
	if l.target.onlyKeys {
		agentKeys = nil
	}
	for _, signer := range agentKeys {
		l.keys = append(l.keys, offersFor(signer, certificates)...)
		l.offered = append(l.offered, "the agent's "+ssh.FingerprintSHA256(signer.PublicKey()))
	}
	l.keys, l.offered = append(l.keys, defaults...), append(l.offered, defaultNames...)
	l.restrict()
	return l.remaining()
}

// restrict leaves out the keys that may not be used, and sets the algorithms of the others.
func (l *login) restrict() {
	l.keys = slices.DeleteFunc(l.keys, func(o *offer) bool {
		_, err := l.target.restrict(o)
		if err != nil {
			fingerprint := ssh.FingerprintSHA256(o.PublicKey())
			l.causes = append(l.causes, fmt.Errorf("sshtunnel: the key %s: %w", fingerprint, err))
		}
		return err != nil
	})
}

// remaining returns the keys that are still to be offered.
func (l *login) remaining() (signers []ssh.Signer, err error) {
	for _, o := range l.keys {
		fit, err := l.target.restrict(o)
		if err != nil {
			return nil, err
		}
		signers = append(signers, fit)
	}
	return signers, nil
}

// dropFailed looks for a key that the server has accepted and that could not sign. It drops this
// key and those before it, which the server has refused. It reports whether others are left. Like
// with ssh, neither a wrong passphrase nor a refusal of the agent ends the attempt.
func (l *login) dropFailed() (left bool) {
	at := slices.IndexFunc(l.keys, func(o *offer) bool { return o.failed != nil })
	if at < 0 {
		return false
	}
	err, source := l.keys[at].failed, l.keys[at].source
	if lazy, ok := source.(*lazySigner); !ok {
		err = fmt.Errorf("sshtunnel: the key %s does not sign: %w",
			ssh.FingerprintSHA256(source.PublicKey()), err)
	} else if !errors.Is(err, errWrongPassphrase) && !lazy.byDefault {
		l.fatal = err
	}
	l.causes = append(l.causes, err)
	l.keys = slices.DeleteFunc(l.keys[at+1:], func(o *offer) bool { return o.source == source })
	return len(l.keys) > 0
}

// offersOf returns what to offer for one key, and the agent's keys without it. The agent's come
// before the file's.
func (l *login) offersOf(
	id *identity, agentKeys []ssh.Signer, certificates []userCertificate,
) (offers []*offer, rest []ssh.Signer) {
	for _, signer := range agentKeys {
		certificate, certified := signer.PublicKey().(*ssh.Certificate)
		switch {
		case certified && sameKey(certificate.Key, id.public):
			offers = append(offers, offersFor(signer, nil)...)
		case sameKey(signer.PublicKey(), id.public):
			id.signer = signer
		default:
			rest = append(rest, signer)
		}
	}
	if id.signer == nil {
		return offers, rest
	}
	beside, faults := loadCertificates([]string{id.path + "-cert.pub"})
	l.causes = append(l.causes, faults...)
	return append(offers, offersFor(id.signer, slices.Concat(beside, certificates))...), rest
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// unusable records a key that cannot be used. If the Config names it, the attempt ends.
func (l *login) unusable(file keyFile, err error) {
	if file.named && !errors.Is(err, errWrongPassphrase) {
		l.fatal = err
		return
	}
	l.causes = append(l.causes, err)
}

// agentSigners returns the keys of the agent. The end of the attempt ends the wait for it.
func (l *login) agentSigners() []ssh.Signer {
	if l.target.agent == "" {
		return nil
	}
	conn, err := dialAgent(l.ctx, l.target.agent)
	if err != nil {
		l.causes = append(l.causes, fmt.Errorf("sshtunnel: the agent: %w", err))
		return nil
	}
	l.close()
	l.agent = conn
	context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		l.causes = append(l.causes, fmt.Errorf("sshtunnel: the agent %s: %w", l.target.agent, err))
		return nil
	}
	return l.known(signers)
}

// agentSigner is a key of the agent with its public half as package ssh knows it. The client of
// x/crypto returns an *agent.Key, which tells neither that it is a certificate nor how long it is.
type agentSigner struct {
	ssh.AlgorithmSigner
	public ssh.PublicKey
}

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.public }

// known returns the agent's keys of the types that package ssh knows. What a key of another type
// may be used for cannot be checked.
func (l *login) known(signers []ssh.Signer) (all []ssh.Signer) {
	for _, signer := range signers {
		able, ok := signer.(ssh.AlgorithmSigner) // all of x/crypto's are
		public, err := ssh.ParsePublicKey(signer.PublicKey().Marshal())
		if !ok || err != nil {
			fault := fmt.Errorf("sshtunnel: the agent's %s cannot be used: its type is %q",
				ssh.FingerprintSHA256(signer.PublicKey()), signer.PublicKey().Type())
			l.causes = append(l.causes, fault)
			continue
		}
		all = append(all, &agentSigner{able, public})
	}
	return all
}
