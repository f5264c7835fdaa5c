package fleet

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// NeverStale, as MaxStale, has a server let clients in however old its news are. A key that was
// revoked meanwhile gets in, too.
const NeverStale time.Duration = -1

// The defaults of Options.
const (
	defaultMaxStale       = time.Hour
	defaultReportInterval = 5 * time.Second
)

// Options say how a server is a member of a fleet. Fleet, Server, and Signers or InsecureUnsigned
// are needed.
type Options struct {
	Fleet  string // the name that signatures are for: 1 to 64 letters, digits, - and _
	Server string // the id of this server, of the same form; no two servers may share one

	// Signers are the keys of the administrators. What none of them has signed does not count.
	Signers []ed25519.PublicKey
	// InsecureUnsigned makes every entry count: whoever can write to the store can let anybody in.
	// Signers must be empty then.
	InsecureUnsigned bool

	// Domains are those that the fleet decides about, and no other. They are closed from the
	// beginning. nil: all that the fleet has an entry for, from that entry on.
	Domains []string

	// Snapshot is a file that this server keeps what it knows in, with mode 0600, to load only what
	// is new at its next start. It also keeps what was revoked, in case that the store loses it.
	// Empty: there is none.
	Snapshot string

	// MaxStale is how old the last proof of being up to date may be. Then nobody new gets in. 0: one
	// hour; NeverStale: as old as it may be.
	MaxStale time.Duration

	ReportInterval time.Duration // between two proofs and reports; 0: 5 s
	Version        string        // of the program, for its report
	Logger         *slog.Logger  // nil: slog.Default()

	// Audit is told of sessions that the fleet has ended, see Auditor.Session. nil: nobody is.
	Audit *Auditor
	// Pending are the pending keys of this server (package enrol has a list of them). They are
	// reported if the Store is a PendingStore. nil: there are none.
	Pending func() []Pending

	Clock func() time.Time // for tests; nil: time.Now
}

// complete checks options and fills in the defaults.
func (o *Options) complete() error {
	if o.MaxStale == 0 {
		o.MaxStale = defaultMaxStale
	}
	if o.ReportInterval == 0 {
		o.ReportInterval = defaultReportInterval
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Signers, o.Domains = slices.Clone(o.Signers), slices.Clone(o.Domains)
	if err := errors.Join(checkToken("Fleet", o.Fleet), checkToken("Server", o.Server),
		checkText("Version", o.Version, maxName)); err != nil {
		return err
	}
	switch {
	case len(o.Signers) == 0 && !o.InsecureUnsigned:
		return errors.New("there are no Signers: nothing would count")
	case len(o.Signers) > 0 && o.InsecureUnsigned:
		return errors.New("both Signers and InsecureUnsigned")
	case o.MaxStale < NeverStale || o.ReportInterval < 0:
		return errors.New("a negative time")
	case o.MaxStale > 0 && o.ReportInterval >= o.MaxStale:
		return fmt.Errorf("ReportInterval (%v) is not shorter than MaxStale (%v)", o.ReportInterval,
			o.MaxStale)
	}
	for i, key := range o.Signers {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("signer %d is no Ed25519 public key", i)
		}
	}
	for _, name := range o.Domains {
		if err := checkDomain(name); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) trust() trust {
	return trust{fleet: o.Fleet, signers: o.Signers, unsigned: o.InsecureUnsigned}
}
