package sshtunnel

import (
	"crypto/rsa"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// algorithmsOf returns the algorithms that a key can sign with, the best first.
func algorithmsOf(public ssh.PublicKey) []string {
	if public.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{public.Type()}
}

// restrict returns a signer that uses only the algorithms that PubkeyAcceptedAlgorithms allows. By
// default, an RSA key signs with SHA-2 only.
func (t *target) restrict(signer ssh.AlgorithmSigner) (ssh.Signer, error) {
	public := signer.PublicKey()
	name := func(algorithm string) string { return algorithm }
	if certificate, ok := public.(*ssh.Certificate); ok {
		public, name = certificate.Key, certified
	}
	if bits := rsaBits(public); bits > 0 && bits < t.minRSA {
		return nil, fmt.Errorf("an RSA key of %d bits; RequiredRSASize asks for %d", bits, t.minRSA)
	}
	var allowed []string
	for _, algorithm := range algorithmsOf(public) {
		if slices.Contains(t.algorithms.PublicKeyAuths, name(algorithm)) {
			allowed = append(allowed, algorithm)
		}
	}
	if len(allowed) == 0 {
		return nil, fmt.Errorf("PubkeyAcceptedAlgorithms has no algorithm for a key of type %s",
			signer.PublicKey().Type())
	}
	return ssh.NewSignerWithAlgorithms(signer, allowed)
}

// rsaBits returns the length of an RSA key, and 0 for other keys.
func rsaBits(public ssh.PublicKey) int {
	if able, ok := public.(ssh.CryptoPublicKey); ok {
		if key, ok := able.CryptoPublicKey().(*rsa.PublicKey); ok {
			return key.N.BitLen()
		}
	}
	return 0
}
