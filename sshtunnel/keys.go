package sshtunnel

import (
	"context"
	"encoding/pem"
	"errors"
	"io/fs"

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
	data, path, err := readKeyOrPublic(file.path)
	if err != nil {
		return nil, err
	}
	if !isPrivate(data) {
		public, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			return nil, &FileError{File: path, Err: errors.New("neither a private nor a public key")}
		}
		fault := errors.New("a public key, whose private half no agent has")
		return &identity{keyFile: file, public: public, fault: &FileError{File: path, Err: fault}}, nil
	}
	if block, _ := pem.Decode(data); isEncryptedPKCS8(block) {
		return encryptedIdentity(ctx, file, data, nil, t, secrets)
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

// readKeyOrPublic reads a key file. If there is none, it reads the file KEY.pub: the agent may have
// the private half. It returns the path of what it has read.
func readKeyOrPublic(path string) (data []byte, from string, err error) {
	if data, err = readKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		return data, path, err
	}
	public := path + ".pub"
	beside, fault := readKeyFile(public)
	switch {
	case fault == nil && !isPrivate(beside):
		return beside, public, nil
	case isUntrusted(fault):
		return nil, "", fault
	}
	return nil, "", err
}

// keyError does not repeat the parser's error, which may quote the private key.
func keyError(path string) error {
	return &FileError{File: path, Err: errors.New("not a private key of a supported kind")}
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
