package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// sum is the digest of an entry with its signature.
type sum [sha256.Size]byte

const (
	summed = "zmqauth fleet sum 2" // begins what a sum is of
	// maxSums is how many sums an entry has: they fit into MaxValue in base64.
	maxSums = 10_000
)

// sumOf is the sum of an entry in a fleet that a signer has signed. text is the entry, encoded.
func sumOf(fleet string, signer ed25519.PublicKey, key, text string) sum {
	var space [1024]byte                                 // enough for most
	b := append(append(space[:0], summed...), signer...) // of one length
	for _, part := range []string{fleet, key, text} {
		b = append(append(b, 0), part...)
	}
	return sha256.Sum256(b)
}

// Sums are entries of KindSums for many others, unsigned, without By, Why, At and revision. A
// signer who puts them vouches that those others are signed, and a server that loads them all at
// once verifies his few signatures in place of all of theirs. A sum names who has signed the entry,
// and counts where that one is trusted. Entries that none of the signers has signed are left out.
// Sums let nobody in: what is known and newer still holds. Among them are those that take the place
// of earlier ones, and vouch for nothing. count is how many entries have a sum.
func Sums(fleet string, entries []Entry, signers ...ed25519.PublicKey) (
	made []Entry, count int) {
	earlier := make(map[string]bool)
	var others []Entry // so that a signature counts, and no earlier sum
	for _, e := range entries {
		if e.Kind != KindSums {
			others = append(others, e)
		} else if e.Err() == nil {
			earlier[e.Name] = true
		}
	}
	var log Log
	log.Add(others...)
	var all []sum
	known := newLedger(trust{fleet: fleet, signers: signers}).verify(&log)
	for n, v := range known.verdicts {
		if i := &log.items[n]; v.err == nil && !v.skipped && !i.kind.isForLoading() {
			all = append(all, sumOf(fleet, signedBy(fleet, i, signers), i.key, i.text))
		}
	}
	for part := range slices.Chunk(all, maxSums) {
		made = append(made, sumsOf(strconv.Itoa(len(made)), part))
		delete(earlier, made[len(made)-1].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(earlier)) {
		made = append(made, sumsOf(name, make([]sum, 1)))
	}
	return made, len(all)
}

// signedBy is the signer of an entry that one of them has signed.
func signedBy(fleet string, i *item, signers []ed25519.PublicKey) ed25519.PublicKey {
	for _, signer := range signers[:len(signers)-1] {
		if e, err := i.entry(); err == nil && e.Verify(fleet, signer) == nil {
			return signer
		}
	}
	return signers[len(signers)-1]
}

// sumsOf is an entry that has these sums.
func sumsOf(name string, sums []sum) Entry {
	e := Entry{Kind: KindSums, Name: name, State: Granted}
	for _, one := range sums {
		e.Sums = append(e.Sums, one[:]...)
	}
	return e
}

func (e Entry) checkSums() error {
	switch {
	case e.State != Granted:
		return errors.New(`the state is not "granted"`)
	case len(e.Sums) == 0 || len(e.Sums)%len(sum{}) != 0 || len(e.Sums) > maxSums*len(sum{}):
		return fmt.Errorf("the sums are not 1 to %d of %d bytes", maxSums, len(sum{}))
	}
	return checkToken("sums", e.Name)
}
