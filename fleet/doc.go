// Package fleet keeps the credentials of many servers in one place. An [zmqauth.Authenticator] that
// has joined a fleet decides from memory as ever, and has each change of keys, users, principals
// and address rules as soon as the store tells of it.
//
//	member, err := fleet.Join(ctx, auth, store, fleet.Options{
//		Fleet: "production", Server: "orders-1", Signers: administrators,
//		Domains: []string{"global"}, Snapshot: "/var/lib/orders/fleet",
//	})
//	…
//	defer member.Close()
//
// A [Store] is where the entries are. The package imports none: package natsstore has that of NATS
// JetStream.
//
// # Who is let in
//
// An entry counts if one of Options.Signers has signed it. What is not signed, signed by somebody
// else or for another fleet, or older than what a server knows is refused, counted in
// [Status].Refused and logged, and what is in force stays. So whoever has taken the store can let
// nobody in. Such a person can keep changes back, and break servers off.
//
// To revoke is to put a revoked entry, never to delete the entry. A revocation counts however old
// it seems, and a server that has seen it lets the client in only by a grant with a higher
// revision. It keeps that in its snapshot, and so a store that is restored from a backup, or
// replaced, brings nobody back. A revocation is announced as well: a client whose revocation a
// server has heard of is told to try again until the log confirms it, or withdraws it by a grant
// with a higher revision. No time ends that.
//
// # When the store is away
//
// What is known stays in force. Each server proves again and again that it is up to date, by a
// write that a quorum of the store confirms. When the last proof is older than Options.MaxStale,
// new clients of the fleet's domains are told to try again; sessions go on. The log says so at half
// of that time and at 90 % of it, and [Member.Status], [Member.Age] and [Member.Health] tell of it.
//
// # The invariant
//
// A server of the fleet lets a client in only if all of this is so:
//
//  1. The newest entry that it has of the client grants, and a signer has signed it. It is newer
//     than each revocation that the server has ever taken from the log.
//  2. No revocation is announced that is newer. One second after the server has got the notice this
//     holds without exception.
//  3. The last proof that the server is up to date is at most MaxStale old, and one second. While
//     the process runs, the longer of two times counts, that of the clock and the monotonic one.
//     What an earlier process has proved is as old as the clock says.
//
// A server with a snapshot holds it through kills and restarts, its own and the store's, and
// whatever the store says after it was replaced, set back or taken. Tests hold every acceptance in
// random schedules of kills, freezes, restarts and jumps of the clock against it (make
// fleet-schedules).
//
// # For administrators
//
// An administrator reads an entry with its position, makes the next one with [NextRevision], By,
// Why and At, signs it with [Entry.Sign], and puts it. [Current] tells what holds of all that a
// store has. [Sums] make many signatures cheap to load. To know that every server has a
// revocation, compare the position that Put returned with that of each server's report by
// [Position.Includes]: servers report at once when one comes.
//
// # The audit log, and enrolment
//
// An [Auditor] sends what a server refuses and cuts to an [AuditStore], and keeps it in a bounded
// file while the store is away. [AuditStore].Events reads it back, with the changes that
// administrators made. A [PendingList] has the keys of strangers who ask to be let in, and
// Options.Pending reports them to a [PendingStore]. To approve one is to put [Pending.Grant].
package fleet
