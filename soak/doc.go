// Package soak presses an authenticator from all sides at once, for as long as it is told: clients
// that come and go on every mechanism, rules that change under them, callbacks that misbehave, a
// service that is stopped and started, and peers that keep to no protocol. It has nothing but a
// test; make soak runs it for five minutes.
//
// How it knows for sure who must get in: everybody in it is good at all times, or never, or has a
// standing that the soak itself changes. Of the last, an acceptance counts against the product only
// if the one that came in has been out for the whole of the handshake: from before its first byte
// until after the acceptance, with no change begun in between.
package soak
