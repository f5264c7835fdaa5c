package fleet

import "crypto/ed25519"

// Current is what holds of the entries of a log, which are in its order, for who has known nothing
// before: of each key the entry that counts. refused says of which keys something does not. Without
// signers every entry counts.
func Current(fleet string, entries []Entry, signers ...ed25519.PublicKey) (
	current []Entry, refused []error) {
	l := newLedger(trust{fleet: fleet, signers: signers, unsigned: len(signers) == 0})
	var log Log
	log.Add(entries...)
	changes, refused := l.reset(&log, l.verify(&log))
	for _, c := range changes {
		e, err := c.entry()
		if err != nil {
			refused = append(refused, err)
			continue
		}
		current = append(current, e)
	}
	return current, refused
}
