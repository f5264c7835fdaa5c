package sshtunnel

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/ssh"
)

// errNoPassphrase says that a key is encrypted and that there is nobody to ask for the passphrase.
var errNoPassphrase = errors.New(
	"the key is encrypted, and neither Config.Passphrase nor Config.Password is there to ask")

// identity is a key to offer to a server.
type identity struct {
	keyFile
	public ssh.PublicKey
	// signer is nil if the file has the public half only, or cannot be decrypted. The agent may have
	// the key.
	signer ssh.Signer
	fault  error // why signer is nil
}

// loadIdentity reads a private key, or a public one whose private half the agent has. An encrypted
// key is not decrypted before it has to sign.
func loadIdentity(
	ctx context.Context, file keyFile, t *target, secrets *secrets,
) (*identity, error) {
	data, err := readKeyFile(file.path)
	if err != nil {
		return nil, err
	}
	if !isPrivate(data) {
		public, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			return nil, &FileError{File: file.path, Err: errors.New("neither a private nor a public key")}
		}
		fault := errors.New("a public key, whose private half no agent has")
		return &identity{
			keyFile: file, public: public, fault: &FileError{File: file.path, Err: fault},
		}, nil
	}
	raw, err := ssh.ParseRawPrivateKey(data)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return encryptedIdentity(ctx, file, data, missing.PublicKey, t, secrets)
	}
	if err != nil {
		return nil, keyError(file.path)
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, keyError(file.path)
	}
	return &identity{keyFile: file, public: signer.PublicKey(), signer: signer}, nil
}

// keyError does not repeat the parser's error, which may quote the private key.
func keyError(path string) error {
	return &FileError{File: path, Err: errors.New("not a private key of a supported kind")}
}

// algorithmsOf returns the algorithms that a key can sign with, the best first.
func algorithmsOf(public ssh.PublicKey) []string {
	if public.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{public.Type()}
}

// restrict returns a signer that uses only the algorithms that PubkeyAcceptedAlgorithms allows. By
// default, an RSA key signs with SHA-2 only.
func (t *target) restrict(signer ssh.Signer) (ssh.Signer, error) {
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
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok || len(allowed) == 0 {
		return nil, fmt.Errorf("PubkeyAcceptedAlgorithms has no algorithm for a key of type %s",
			signer.PublicKey().Type())
	}
	return ssh.NewSignerWithAlgorithms(able, allowed)
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

// encryptedIdentity returns an identity that asks for its passphrase after the server has accepted
// its public half. A file in an old format does not contain the public half. Then the public half
// is read from the file KEY.pub; if there is none, the passphrase is asked for at once.
func encryptedIdentity(
	ctx context.Context, file keyFile, data []byte, public ssh.PublicKey, t *target, secrets *secrets,
) (*identity, error) {
	lazy := &lazySigner{
		ctx: ctx, path: file.path, data: data, public: public,
		passphrase: t.passphrase, secrets: secrets, byDefault: file.byDefault,
	}
	if public == nil {
		beside, err := readFile(file.path+".pub", maxKeyFile)
		if isUntrusted(err) {
			return nil, err
		}
		if err == nil {
			lazy.public, _, _, _, err = ssh.ParseAuthorizedKey(beside)
		}
		if err != nil && t.passphrase == nil {
			return nil, &FileError{File: file.path, Err: errNoPassphrase}
		}
		if err != nil {
			signer, err := lazy.decrypt()
			if err != nil {
				return nil, err
			}
			return &identity{keyFile: file, public: signer.PublicKey(), signer: signer}, nil
		}
	}
	found := &identity{keyFile: file, public: lazy.public}
	if t.passphrase == nil {
		found.fault = &FileError{File: file.path, Err: errNoPassphrase}
	} else {
		found.signer = lazy
	}
	return found, nil
}

// lazySigner decrypts its key when it has to sign for the first time.
type lazySigner struct {
	ctx        context.Context
	path       string
	data       []byte
	public     ssh.PublicKey
	passphrase func(string) (string, error)
	secrets    *secrets
	byDefault  bool  // see keyFile
	failed     error // why it could not sign
}

func (s *lazySigner) PublicKey() ssh.PublicKey { return s.public }

func (s *lazySigner) Algorithms() []string { return algorithmsOf(s.public) }

func (s *lazySigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(random, data, s.Algorithms()[0])
}

func (s *lazySigner) SignWithAlgorithm(
	random io.Reader, data []byte, algorithm string,
) (*ssh.Signature, error) {
	signer, err := s.decrypt()
	if err == nil && !bytes.Equal(signer.PublicKey().Marshal(), s.public.Marshal()) {
		fault := errors.New("not the private half of the public key beside it")
		err = &FileError{File: s.path, Err: fault}
	}
	if err != nil {
		s.failed = err
		return nil, err
	}
	return signer.(ssh.AlgorithmSigner).SignWithAlgorithm(random, data, algorithm)
}

func (s *lazySigner) decrypt() (ssh.Signer, error) {
	purpose := "passphrase\x00" + s.path
	said, err := s.secrets.ask(s.ctx, purpose, func() ([]string, error) {
		passphrase, err := s.passphrase(s.path)
		return []string{passphrase}, err
	})
	if err != nil {
		return nil, &FileError{File: s.path, Err: fmt.Errorf("no passphrase: %w", err)}
	}
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(s.data, []byte(said[0]))
	if err != nil {
		s.secrets.forget(purpose)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, &FileError{File: s.path, Err: errors.New("the passphrase is wrong")}
		}
		return nil, keyError(s.path)
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, keyError(s.path)
	}
	return signer, nil
}

// withCertificates returns the signers for the certificates of the key, followed by the signer of
// the key itself. The certificates are in KEY-cert.pub and in the given files. faults has an error
// for each file that other users can write.
func withCertificates(id *identity, files []string) (signers []ssh.Signer, faults []error) {
	for _, path := range append([]string{id.path + "-cert.pub"}, files...) {
		data, err := readFile(path, maxKeyFile)
		if isUntrusted(err) {
			faults = append(faults, err)
		}
		if err != nil {
			continue // as ssh does; most keys have no certificate
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			continue
		}
		certificate, ok := public.(*ssh.Certificate)
		if !ok || !bytes.Equal(certificate.Key.Marshal(), id.public.Marshal()) {
			continue
		}
		if signer, err := ssh.NewCertSigner(certificate, id.signer); err == nil {
			signers = append(signers, signer)
		}
	}
	return append(signers, id.signer), faults
}
