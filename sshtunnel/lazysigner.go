package sshtunnel

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"
)

// errWrongPassphrase says that a key cannot be decrypted with what the program has said. Other keys
// may still let the user in.
var errWrongPassphrase = errors.New("the passphrase is wrong")

// lazySigner decrypts its key when it has to sign for the first time.
type lazySigner struct {
	ctx        context.Context
	path       string
	data       []byte
	public     ssh.PublicKey
	passphrase func(string) (string, error)
	secrets    *secrets
	byDefault  bool // see keyFile
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
	raw, err := decryptKey(s.data, []byte(said[0]))
	if err != nil {
		s.secrets.forget(purpose)
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, &FileError{File: s.path, Err: errWrongPassphrase}
		}
		return nil, keyError(s.path)
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, keyError(s.path)
	}
	return signer, nil
}

// decryptKey decrypts a private key. It returns x509.IncorrectPasswordError if the passphrase is
// wrong.
func decryptKey(data, passphrase []byte) (key any, err error) {
	block, _ := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errDamaged
	case isOpenSSH(block):
		plain, err := decryptOpenSSH(block, passphrase)
		if err != nil {
			return nil, err
		}
		return ssh.ParseRawPrivateKey(plain)
	case isEncryptedPKCS8(block):
		defer func() { // the module does not check that the text consists of whole blocks
			if recover() != nil {
				err = errDamaged
			}
		}()
		key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, passphrase)
		if err != nil && err.Error() == "pkcs8: incorrect password" {
			err = x509.IncorrectPasswordError
		}
		return key, err
	}
	key, err = ssh.ParseRawPrivateKeyWithPassphrase(data, passphrase)
	if err != nil && !strings.HasPrefix(err.Error(), "ssh: ") {
		// The padding of the old format looks right for one wrong passphrase of 256. Then what
		// comes out is not a key, which the parsers of crypto/x509 say. Errors that have to do
		// with the file itself are those of x/crypto.
		err = x509.IncorrectPasswordError
	}
	return key, err
}

// isEncryptedPKCS8 reports whether a PEM block is a key that "ssh-keygen -m PKCS8" or OpenSSL has
// encrypted. x/crypto does not know that it is one.
func isEncryptedPKCS8(block *pem.Block) bool { return block.Type == "ENCRYPTED PRIVATE KEY" }
