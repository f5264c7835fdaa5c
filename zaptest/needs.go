package zaptest

// need is a condition of a check. It returns an error with the reason if the check does not apply
// to the handler.
type need func(*Handler) error

// unless returns an error that matches ErrNotApplicable, unless the condition holds.
func unless(condition bool, why string) error {
	if condition {
		return nil
	}
	return notApplicable(why)
}

func needClient(h *Handler) error {
	return unless(len(h.clients()) > 0, "no client who gets in is known")
}
func needNull(h *Handler) error  { return unless(h.Null, "Null is not set") }
func needPlain(h *Handler) error { return unless(h.User != "", "no User is known") }
func needCurve(h *Handler) error { return unless(h.Key != nil, "no Key is known") }
func noPlain(h *Handler) error   { return unless(h.User == "", "a User is set up") }
func noCurve(h *Handler) error   { return unless(h.Key == nil, "a Key is set up") }

func needUnknownKeys(h *Handler) error { return unless(!h.EveryKey, "every key gets in") }
func needMetadata(h *Handler) error {
	return unless(len(h.Metadata) > 0, "no Metadata is known")
}
func needPrincipal(h *Handler) error { return unless(h.Principal != "", "no Principal is known") }
func needRules(h *Handler) error {
	return unless(h.RefusedAddress != "", "no RefusedAddress is known")
}
func needRefusedPrincipal(h *Handler) error {
	return unless(h.RefusedPrincipal != "", "no RefusedPrincipal is known")
}

// needDomains applies to handlers with credentials that are valid in one domain only.
func needDomains(h *Handler) error {
	if h.EveryDomain {
		return notApplicable("every domain lets the same clients in")
	}
	return unless(h.User != "" || h.Key != nil, "neither a User nor a Key is known")
}
