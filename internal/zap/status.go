package zap

// The status codes of a reply (RFC 27, "Message Format").
const (
	StatusOK        = 200
	StatusTemporary = 300
	StatusDenied    = 400
	StatusError     = 500

	// StatusCut is none of RFC 27's. It cuts the connection of a GSSAPI client: libzmq (to 4.3.5) lets
	// such a client in whatever valid status it reads, and refuses it only for a reply that is
	// invalid.
	StatusCut = 999
)

// WireStatus returns the code and text of a reply with that status, any other than the constants
// being StatusDenied. The text never leaves the server's process. To a GSSAPI client every refusal
// is StatusCut.
func WireStatus(status int, mechanism []byte) (code, text string) {
	if status != StatusOK && string(mechanism) == MechanismGSSAPI {
		status = StatusCut
	}
	switch status {
	case StatusOK:
		return "200", "OK"
	case StatusTemporary:
		return "300", "Try again later"
	case StatusError:
		return "500", "Error"
	case StatusCut:
		return "999", "Denied"
	default:
		return "400", "Denied"
	}
}
