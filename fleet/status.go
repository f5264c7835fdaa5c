package fleet

import "time"

// Status is what a server says of itself. All of it may be known to everybody in the fleet.
type Status struct {
	Version   string    `json:"version,omitempty"` // of the program
	At        time.Time `json:"at"`                // when this was so
	Since     time.Time `json:"since"`             // when the server joined
	Position  Position  `json:"position"`          // everything up to it has been applied
	Fresh     time.Time `json:"fresh"`             // the last proof of being up to date; zero: none
	Suspended bool      `json:"suspended"`         // nobody new gets in

	Keys       int `json:"keys"` // in force
	Users      int `json:"users"`
	Principals int `json:"principals"`
	Sessions   int `json:"sessions"` // of guarded sockets

	Notices int    `json:"notices"`           // announced revocations that the log has not confirmed
	Refused uint64 `json:"refused"`           // entries that did not count
	Trouble string `json:"trouble,omitempty"` // what keeps it from following; empty: nothing
}
