package fleet

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Errors to be tested with errors.Is.
var (
	// ErrUnsigned says that an entry has no signature.
	ErrUnsigned = errors.New("it is not signed")
	// ErrSignature says that an entry was signed by none of the keys that are trusted, for another
	// fleet, or as something else.
	ErrSignature = errors.New("it is not signed by a key that is trusted here")
	// ErrOutdated says that an entry is older than what is known of its key.
	ErrOutdated = errors.New("it is older than what is known")
)

// signed begins what is signed, so that no signature of anything else fits.
const signed = "zmqauth fleet entry 1"

// Sign signs an entry as one of a fleet. What is signed is the name of the fleet, the entry's key,
// and its value, the revision included: so it stands for nothing else, nowhere else, and not for
// what comes later. Server reports are not signed. The error names the entry's key.
func (e *Entry) Sign(fleet string, by ed25519.PrivateKey) error {
	if len(by) != ed25519.PrivateKeySize {
		return entryError(e.Key(), errors.New("the key to sign with is not an Ed25519 key"))
	}
	message, err := e.message(fleet)
	if err != nil {
		return err
	}
	e.Signature, e.text = ed25519.Sign(by, message), ""
	return nil
}

// Verify tells whether an entry is one of a fleet and was signed by one of the keys. The errors are
// ErrUnsigned, ErrSignature, and those of Encode. They name the entry's key.
func (e Entry) Verify(fleet string, trusted ...ed25519.PublicKey) error {
	message, err := e.message(fleet)
	if err != nil {
		return err
	}
	if len(e.Signature) == 0 {
		return entryError(e.Key(), ErrUnsigned)
	}
	for _, key := range trusted {
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, e.Signature) {
			return nil
		}
	}
	return entryError(e.Key(), ErrSignature)
}

// message is what is signed.
func (e Entry) message(fleet string) ([]byte, error) {
	if err := checkToken("fleet", fleet); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	e.Signature = nil
	text, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", signed, fleet, e.Key(), text), nil
}
