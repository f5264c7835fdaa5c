package zaptest

import (
	"slices"
	"strings"
	"time"
)

// check is a requirement, the conditions under which it applies, and the code that tests it.
type check struct {
	Requirement
	needs []need
	run   func(*trial) error
}

// newCheck returns a check that applies to handlers that meet all needs.
func newCheck(name, section, text string, run func(*trial) error, needs ...need) check {
	return check{Requirement{name, section, text}, needs, run}
}

// timeout is the time limit of the check: four times the handler's for a check with a load.
func (c check) timeout(h *Handler) time.Duration {
	if strings.HasPrefix(c.Name, "load-") {
		return 4 * h.Timeout
	}
	return h.Timeout
}

// suite returns all checks. Checks that a faulty handler is likely to survive come first.
func suite() []check {
	return slices.Concat(
		replyChecks(),
		envelopeChecks(),
		mechanismChecks(),
		plainChecks(),
		curveChecks(),
		gssapiChecks(),
		domainChecks(),
		addressChecks(),
		malformedChecks(),
		hostileChecks(),
		loadChecks(),
	)
}
