package natsstore

import (
	"context"

	"github.com/zmqauth/zmqauth/fleet"
)

// History tells of each change that the log still has, the oldest first: the last 64 of each key.
// Entries that cannot be read have an Err. Reports of servers are left out. It needs no more than
// following does.
func (s *Store) History(ctx context.Context, tell func(fleet.Entry)) error {
	for from := uint64(1); ; {
		found, err := s.batch(ctx, from)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		for _, one := range found {
			if e, _ := fleet.ParseEntry(one.key, one.value); e.Kind != fleet.KindServer {
				tell(e)
			}
			from = one.sequence + 1
		}
	}
}
