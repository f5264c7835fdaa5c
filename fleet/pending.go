package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
)

// Pending is a client whose key nobody knows and who asks to be let in. The handshake has proved
// that he has the key.
type Pending struct {
	Domain   string            `json:"domain"`
	Key      zmqauth.PublicKey `json:"key"`
	Address  string            `json:"address"` // of the last attempt
	Attempts int               `json:"attempts"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Server   string            `json:"server,omitempty"` // that he asked
}

// Fingerprint is that of the key.
func (p Pending) Fingerprint() string { return enrol.Fingerprint(p.Key) }

// Grant is the entry that lets the client in. It needs By, Why, At and a revision, and is to be
// signed.
func (p Pending) Grant(userID string, metadata map[string]string) Entry {
	return Entry{Kind: KindKey, Domain: p.Domain, PublicKey: p.Key, State: Granted, UserID: userID,
		Metadata: metadata}
}

// PendingStore is a store for pending keys. Its methods may be called by many goroutines.
type PendingStore interface {
	// ReportPending puts the pending keys of a server in place of those before.
	ReportPending(ctx context.Context, server string, list []Pending) error
	// Pending are those of all servers.
	Pending(ctx context.Context) ([]Pending, error)
}

// MaxPending is how many pending keys a server reports at most.
const MaxPending = 1000

// CheckPending is for stores: it tells whether ReportPending may take a list.
func CheckPending(server string, list []Pending) error {
	if err := checkToken("server", server); err != nil {
		return err
	}
	if len(list) > MaxPending {
		return errors.New("fleet: too many pending keys")
	}
	for _, p := range list {
		if err := checkDomain(p.Domain); err != nil {
			return err
		}
		if p.Address != cleanText(p.Address) || p.Key == (zmqauth.PublicKey{}) {
			return errors.New("fleet: a pending key without a key, or with a broken address")
		}
	}
	return nil
}
