package stream

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// oldestVersion returns the TLS version that a MinVersion stands for.
func oldestVersion(version uint16) uint16 {
	if version == 0 {
		return tls.VersionTLS12
	}
	return version
}

// checkVersions returns an error if Go does not know the versions, or if no version is between
// them.
func checkVersions(oldest, newest uint16) error {
	known := []uint16{0, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	for _, version := range []uint16{oldest, newest} {
		if !slices.Contains(known, version) {
			return fmt.Errorf("stream: unknown TLS version %#04x", version)
		}
	}
	if oldest = oldestVersion(oldest); newest != 0 && newest < oldest {
		return fmt.Errorf("stream: no TLS version from %s to %s",
			tls.VersionName(oldest), tls.VersionName(newest))
	}
	return nil
}

// checkSuites returns an error if Go does not know one of the suites. Package crypto/tls would
// ignore it silently.
func checkSuites(suites []uint16) error {
	if suites != nil && len(suites) == 0 {
		return fmt.Errorf("stream: CipherSuites that are empty but not nil: nil means Go's defaults")
	}
	for _, id := range suites {
		is := func(s *tls.CipherSuite) bool { return s.ID == id }
		if !slices.ContainsFunc(tls.CipherSuites(), is) &&
			!slices.ContainsFunc(tls.InsecureCipherSuites(), is) {
			return fmt.Errorf("stream: unknown cipher suite %#04x", id)
		}
	}
	return nil
}
