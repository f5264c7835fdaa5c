package sshtunnel

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// errNoPassphrase is what is wrong with a key that is encrypted where nobody can be asked.
var errNoPassphrase = errors.New("the key is encrypted, and neither Config.Passphrase nor Config.Password is there to ask")

// identity is a key to offer to a server.
type identity struct {
	keyFile
	public ssh.PublicKey
	signer ssh.Signer // nil: the file holds the public half only, or cannot be decrypted; the agent may have the key
	fault  error      // why there is no signer
}

// loadIdentity reads a private key, or a public one whose private half the agent has. Encrypted
// keys are not decrypted before something is to be signed.
func loadIdentity(ctx context.Context, file keyFile, t *target, secrets *secrets) (*identity, error) {
	data, err := readKeyFile(file.path)
	if err != nil {
		return nil, err
	}
	if !isPrivate(data) {
		public, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			return nil, &FileError{File: file.path, Err: errors.New("neither a private nor a public key")}
		}
		fault := &FileError{File: file.path, Err: errors.New("a public key, whose private half no agent has")}
		return &identity{keyFile: file, public: public, fault: fault}, nil
	}
	raw, err := ssh.ParseRawPrivateKey(data)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return encryptedIdentity(ctx, file, data, missing.PublicKey, t, secrets)
	}
	if err != nil {
		return nil, keyError(file.path)
	}
	signer, err := newSigner(raw)
	if err != nil {
		return nil, keyError(file.path)
	}
	return &identity{keyFile: file, public: signer.PublicKey(), signer: signer}, nil
}

// keyError does not repeat what a parser found in a private key.
func keyError(path string) error {
	return &FileError{File: path, Err: errors.New("not a private key of a supported kind")}
}

// newSigner is one that signs with RSA keys by SHA-2 alone.
func newSigner(raw any) (ssh.Signer, error) {
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil || signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return signer, err
	}
	return ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), algorithmsOf(signer.PublicKey()))
}

func algorithmsOf(public ssh.PublicKey) []string {
	if public.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{public.Type()}
}

// encryptedIdentity is one that asks for its passphrase when the server has accepted it. A file in
// an old format does not tell what its public half is; then that is in a file beside it, or the
// passphrase is asked for at once.
func encryptedIdentity(
	ctx context.Context, file keyFile, data []byte, public ssh.PublicKey, t *target, secrets *secrets,
) (*identity, error) {
	lazy := &lazySigner{
		ctx: ctx, path: file.path, data: data, public: public, passphrase: t.passphrase, secrets: secrets, usual: file.usual,
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

// lazySigner decrypts its key when it has to sign.
type lazySigner struct {
	ctx        context.Context
	path       string
	data       []byte
	public     ssh.PublicKey
	passphrase func(string) (string, error)
	secrets    *secrets
	usual      bool  // see keyFile
	failed     error // why it could not sign
}

func (s *lazySigner) PublicKey() ssh.PublicKey { return s.public }

func (s *lazySigner) Algorithms() []string { return algorithmsOf(s.public) }

func (s *lazySigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(random, data, s.Algorithms()[0])
}

func (s *lazySigner) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := s.decrypt()
	if err == nil && !bytes.Equal(signer.PublicKey().Marshal(), s.public.Marshal()) {
		err = &FileError{File: s.path, Err: errors.New("not the private half of the public key beside it")}
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
	signer, err := newSigner(raw)
	if err != nil {
		return nil, keyError(s.path)
	}
	return signer, nil
}

// withCertificates is the key, after its certificates: the one beside it (KEY-cert.pub), and those
// in the files. The faults are of those that others can write.
func withCertificates(id *identity, files []string) (signers []ssh.Signer, faults []error) {
	for _, path := range append([]string{id.path + "-cert.pub"}, files...) {
		data, err := readFile(path, maxKeyFile)
		if isUntrusted(err) {
			faults = append(faults, err)
		}
		if err != nil {
			continue // as ssh does; most keys have none
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
