package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/passhash"
)

// hashOptions are the flags that say how to hash a password.
type hashOptions struct {
	kind string
	cost int // 0: the default of the kind
	cmd  *cobra.Command
}

func (o *hashOptions) addFlags(cmd *cobra.Command) {
	o.cmd = cmd
	flags := cmd.Flags()
	flags.StringVar(&o.kind, "hash", passhash.Argon2id, "kind of the hash: argon2id or bcrypt")
	flags.IntVar(&o.cost, "cost", 0, fmt.Sprintf("argon2id: passes over 19 MiB, %d to %d "+
		"(default %d); bcrypt: cost, %d to %d (default %d)",
		passhash.MinPasses, passhash.MaxPasses, passhash.DefaultPasses,
		passhash.MinBcryptCost, passhash.MaxBcryptCost, passhash.DefaultBcryptCost))
	completeFlag(cmd, "hash", passhash.Argon2id, passhash.Bcrypt)
}

// choose checks the flags and returns the kind and the cost.
func (o *hashOptions) choose() (kind string, cost int, err error) {
	var low, usual, high int
	switch o.kind {
	case passhash.Argon2id:
		low, usual, high = passhash.MinPasses, passhash.DefaultPasses, passhash.MaxPasses
	case passhash.Bcrypt:
		low, usual, high = passhash.MinBcryptCost, passhash.DefaultBcryptCost, passhash.MaxBcryptCost
	default:
		return "", 0, usagef("--hash %q: %s or %s", o.kind, passhash.Argon2id, passhash.Bcrypt)
	}
	if !o.cmd.Flags().Changed("cost") {
		return o.kind, usual, nil
	}
	if o.cost < low || o.cost > high {
		return "", 0, usagef("--cost %d: %d to %d for %s", o.cost, low, high, o.kind)
	}
	return o.kind, o.cost, nil
}

// serverTime is how long a server lets a hash take: its client waits no longer.
const serverTime = 10 * time.Second

// hashPassword hashes a password. To verify the hash takes the same time: it is an error if that is
// more than a server has.
func hashPassword(password, kind string, cost int) (string, error) {
	hash := passhash.NewArgon2
	if kind == passhash.Bcrypt {
		hash = passhash.NewBcrypt
	}
	start := time.Now()
	text, err := hash(password, cost)
	if err != nil {
		return "", err
	}
	return text, checkTime(time.Since(start))
}

// checkTime refuses a hash that takes too long for a server.
func checkTime(took time.Duration) error {
	if took > serverTime {
		return fmt.Errorf("the hash takes %v here, and a server gives it %v: lower --cost",
			took.Round(time.Second/10), serverTime)
	}
	return nil
}
