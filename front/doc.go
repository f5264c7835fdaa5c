// Package front is a listener of its own before a libzmq server socket, for ports that strangers
// reach. [Listen] takes the place of the socket's Bind.
//
// libzmq spends a session, a question to the authenticator and with CURVE a millisecond of
// cryptography on whoever connects. A Front turns away before that who comes from a denied address,
// who exceeds the limits, who sends no greeting of ZeroMQ's protocol, and who says nothing. Behind
// balancers it reads the PROXY protocol. It passes bytes on and decides about addresses alone:
// credentials are the Authenticator's.
//
// # Addresses
//
// The true address of a client is in the rules, the limits, the log, in Decision.Address, in
// Session.Client and in the property "Client-Address" of its messages. libzmq itself sees another
// one, which its property "Peer-Address" has: the Front dials the socket's private endpoint from an
// address of its own for each client, between 127.16.0.0 and 127.255.255.254. In the socket's
// domain nobody else can have such an address any more. Each client being alone there, its session
// is exact, with GSSAPI and over IPC as well.
//
// # Floods
//
// A connection from a denied address is closed, counted and logged. Where 500 of them come within a
// second, the kernel drops those that follow from the same denied networks, for 5 s, and again if
// the flood goes on. It drops their first packet, so that they take no place among the clients who
// wait to be accepted. Their client hears nothing, and tries again after 1 s, 2 s, 4 s and so on.
// The log says so. Stats.Dropped counts packets, not connections.
//
// Who is allowed is never dropped: every change of the address rules, and Reconfigure, end it
// before they return. Open connections go on. Balancers are never dropped, and so nobody who comes
// through them. Limits drop nobody. A denied network is one of a deny list, or the widest one
// around an address with nobody in it whom the allow list names. At most 128 are dropped at once. A
// Front with more than 32 networks of balancers, one at Config.Listener and one of IPC drop none.
//
// # The private endpoint
//
// The socket listens on a loopback address, which all processes of the machine can dial. The kernel
// gives libzmq only the connections of the Front: those from one port that the Front holds on all
// addresses. Others are closed unheard, and counted with the reason "intruder". Listen proves that
// this holds before it returns, and is an error where it does not. No privilege is needed.
// Processes of the same user are not kept out: they could take the port over, or the process.
//
// # Connections
//
// What one end cannot take yet stays with the kernel, and holds up the other end. A Front keeps at
// most 32 KiB of it for a connection. The end of one direction is passed on. A client has 5 s for
// the rest when its session, or the socket's end of its connection, has ended.
//
// A connection takes two descriptors more than without a Front. Where few are left, new clients are
// turned away. Keepalive is on: a client that vanished is found after some two minutes.
package front
