package fleet_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log"
	"log/slog"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/memstore"
)

// An administrator signs an entry, and a server that has joined the fleet has it in force. A
// program takes natsstore.New in place of the store in memory.
func ExampleJoin() {
	ctx := context.Background()
	store := memstore.New()
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	ann, _, err := zmqauth.GenerateKeyPair()
	if err != nil {
		log.Fatal(err)
	}
	entry := fleet.Entry{Kind: fleet.KindKey, Domain: "global", PublicKey: ann,
		State: fleet.Granted, UserID: "ann", Revision: 1}
	if err := entry.Sign("production", secret); err != nil {
		log.Fatal(err)
	}
	var none uint64
	if _, err := store.Put(ctx, entry, &none); err != nil {
		log.Fatal(err)
	}

	zctx, err := zmq4.NewContext()
	if err != nil {
		log.Fatal(err)
	}
	defer zctx.Term()
	quiet := slog.New(slog.DiscardHandler)
	auth, err := zmqauth.New(zctx, &zmqauth.Config{Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()
	member, err := fleet.Join(ctx, auth, store, fleet.Options{Fleet: "production",
		Server: "orders-1", Signers: []ed25519.PublicKey{public}, Domains: []string{"global"},
		Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer member.Close()
	fmt.Println("keys in force:", member.Status().Keys)
	// Output: keys in force: 1
}
