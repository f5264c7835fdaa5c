package soak

import (
	"maps"
	"slices"

	"github.com/zmqauth/zmqauth"
)

// expectAll names all events that must happen at least once. A soak without them would prove
// nothing.
func (w *world) expectAll() {
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE", "GSSAPI"} {
		w.tally.expect("visits by "+mechanism, string(accepted))
		w.tally.expect("messages received from", mechanism)
		w.tally.expect("decisions on "+mechanism, "200", "400")
	}
	w.tally.expect("visits by NULL", string(refused))
	w.tally.expect("visits by PLAIN", string(refused), string(failed), string(silence))
	w.tally.expect("visits by CURVE", string(refused), string(failed), string(silence), string(cutOff))
	w.tally.expect("visits by GSSAPI", string(cutOff))
	for _, class := range []string{"changing clients let in", "changing clients kept out"} {
		w.tally.expect(class, "open", "guests", "table", "file", "ask", "keys", "directory",
			"ask keys", "principals")
	}
	w.tally.expect("decisions",
		zmqauth.ReasonAccepted,
		zmqauth.ReasonMalformed,
		zmqauth.ReasonStopped,
		zmqauth.ReasonAddressDenied,
		zmqauth.ReasonUnknownMechanism,
		zmqauth.ReasonNotConfigured,
		zmqauth.ReasonUnknownUser,
		zmqauth.ReasonWrongPassword,
		zmqauth.ReasonUnknownKey,
		zmqauth.ReasonKeyExpired,
		zmqauth.ReasonKeyNotYetValid,
		zmqauth.ReasonUnknownPrincipal,
		zmqauth.ReasonCallbackDenied,
		zmqauth.ReasonTryAgain,
		zmqauth.ReasonCallbackTimeout,
		zmqauth.ReasonCallbackError,
		zmqauth.ReasonCallbackPanic,
		zmqauth.ReasonOverloaded,
	)
	w.tally.expect("callbacks", append([]string{"good", "changing", "stranger"}, misbehaviours...)...)
	w.tally.expect("answers at the endpoint", "200", "300", "400", "500")
	w.tally.expect("answers by HandleZAPMessage", "200", "300", "400", "500")
	w.tally.expect("answers in a crowd", "300")
	w.tally.expect("answers to mangled requests", "400")
	w.tally.expect("clients made by hand", "received", "refused")
	w.tally.expect("hostile peers", slices.Collect(maps.Keys(hostilities))...)
	w.tally.expect("hostile peers", "endless retries")
	w.tally.expect("hostile peers in the end", "cut off", "cut off while it spoke", "left")
	w.tally.expect("sessions ended by", departures...)
	for _, domain := range []string{"members", "a front"} {
		w.tally.expect("floods at "+domain, "from a denied address", "from one address")
		w.tally.expect("messages of members", domain)
		w.tally.expect("sessions of "+domain, "opened", "ended")
	}
	w.tally.expect("changes", "stops", "starts", "addresses", "passwords", "keys", "principals",
		"callbacks", "callbacks' minds", "certificates", "disturbances of certificates",
		"directories configured anew", "password files", "password files configured anew",
		"unusable password files", "that were mistakes")
}
