package zap

// The status codes of a reply (RFC 27, "Message Format").
const (
	StatusOK        = 200
	StatusTemporary = 300
	StatusDenied    = 400
	StatusError     = 500

	// StatusCut is not in RFC 27. It refuses a GSSAPI client: libzmq up to 4.3.5 admits such a
	// client after every valid status, and cuts the connection only after an invalid one.
	StatusCut = 999
)

// WireStatus returns the code and the text of a reply. A status that is none of the constants
// counts as StatusDenied. For a GSSAPI client every refusal becomes StatusCut. The text never
// leaves the server's process.
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
