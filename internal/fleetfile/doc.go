// Package fleetfile has the files of a fleet: those of its engines, servers and administrators, and
// the list of members. Each is text in ZPL (RFC 4), and all that its owner needs:
//
//	NAME.engine   the certificate of an engine with its key, where it listens, who its peers are
//	NAME.server   the engines, their CA, the nkey of a server, whose signatures count
//	NAME.admin    the same for an administrator, with the key to sign with
//	members       who may connect, and as what: names, roles and public keys. Engines have it
//	ca.key        the key of the CA: for another engine later
//
// All but members are secret and have mode 0600 from the first byte. What is read must be a file
// that nobody else can read.
package fleetfile
