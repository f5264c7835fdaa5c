package stream

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// maxCRLSize is the largest CRL file in bytes. The largest lists of public CAs have some 10 MB.
	maxCRLSize = 64 << 20
	// maxIssuers is for how many issuers the result of a signature's check is remembered. Each has
	// been certified by a CA, so there are few.
	maxIssuers = 1024
)

// revocationList is a CRL (RFC 5280, section 5).
type revocationList struct {
	*x509.RevocationList
	revoked map[string]bool // by serial number, as bytes
}

// revocations are the lists of a CRL file.
type revocations struct {
	lists []*revocationList

	mu       sync.Mutex
	verified map[signed]bool // whether the signature is good
}

// signed is a list and the certificate that may have signed it.
type signed struct {
	list   *revocationList
	issuer [sha256.Size]byte
}

// revocationSource is a CRL file. The signatures of lists whose issuer is in the CA file are
// checked when the file is read; those of other issuers when a client shows the issuer's
// certificate. ca returns the CA file's certificates; nil: there is no CA file.
func revocationSource(file string, ca func() *authorities) *source[*revocations] {
	return &source[*revocations]{
		what: "CRL", files: []sourceFile{{name: file, limit: maxCRLSize}},
		parse: func(content map[string][]byte) (*revocations, error) {
			r, err := parseRevocations(content[file])
			if err == nil {
				err = r.checkSignatures(ca())
			}
			if err != nil {
				return nil, fileError(file, err)
			}
			return r, nil
		},
	}
}

// parseRevocations reads the lists of a file, PEM or DER.
func parseRevocations(text []byte) (*revocations, error) {
	lists, err := derLists(text)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, errors.New("no certificate revocation list in it")
	}
	r := &revocations{verified: make(map[signed]bool)}
	for i, der := range lists {
		list, err := parseList(der)
		if err != nil {
			return nil, fmt.Errorf("revocation list %d: %w", i+1, err)
		}
		r.lists = append(r.lists, list)
	}
	return r, nil
}

// derLists returns the DER of each list.
func derLists(text []byte) (lists [][]byte, err error) {
	if countBegun(text) > 0 {
		blocks, err := pemBlocks(text)
		for _, block := range blocks {
			if block.Type == "X509 CRL" {
				lists = append(lists, block.Bytes)
			}
		}
		return lists, err
	}
	for rest := text; len(rest) > 0; {
		var list asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &list); err != nil {
			return nil, errors.New("neither PEM nor DER")
		}
		lists = append(lists, list.FullBytes)
	}
	return lists, nil
}

func parseList(der []byte) (*revocationList, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	// Not the whole: the entries of a large list would take much memory.
	list := &revocationList{
		RevocationList: &x509.RevocationList{
			RawTBSRevocationList: parsed.RawTBSRevocationList,
			RawIssuer:            parsed.RawIssuer, Issuer: parsed.Issuer,
			Signature: parsed.Signature, SignatureAlgorithm: parsed.SignatureAlgorithm,
			ThisUpdate: parsed.ThisUpdate, NextUpdate: parsed.NextUpdate,
		},
		revoked: make(map[string]bool, len(parsed.RevokedCertificateEntries)),
	}
	faults := checkExtensions(parsed.Extensions)
	for _, entry := range parsed.RevokedCertificateEntries {
		faults = errors.Join(faults, checkExtensions(entry.Extensions))
		list.revoked[string(entry.SerialNumber.Bytes())] = true
	}
	if faults != nil {
		return nil, faults
	}
	return list, nil
}

// checkExtensions returns an error if there is a critical extension. All those of RFC 5280 make a
// list one of only some certificates or reasons (delta lists, issuing distribution points, indirect
// lists), from which nothing follows for others.
func checkExtensions(extensions []pkix.Extension) error {
	for _, e := range extensions {
		if e.Critical {
			return fmt.Errorf("it is only a part of a list: its critical extension %v is not supported",
				e.Id)
		}
	}
	return nil
}

// checkSignatures returns an error if a list has the name of a CA, but not its signature.
func (r *revocations) checkSignatures(ca *authorities) error {
	if ca == nil {
		return nil
	}
	for i, list := range r.lists {
		named, good := false, false
		for _, issuer := range ca.certificates {
			if bytes.Equal(issuer.RawSubject, list.RawIssuer) {
				named, good = true, good || r.isSignedBy(list, issuer)
			}
		}
		if named && !good {
			return fmt.Errorf("revocation list %d: the CA %q has not signed it", i+1, list.Issuer)
		}
	}
	return nil
}

// isSignedBy reports whether a list is the issuer's. A result is remembered, since a list may be
// large.
func (r *revocations) isSignedBy(list *revocationList, issuer *x509.Certificate) bool {
	if !bytes.Equal(issuer.RawSubject, list.RawIssuer) {
		return false
	}
	key := signed{list, sha256.Sum256(issuer.Raw)}
	r.mu.Lock()
	defer r.mu.Unlock()
	good, known := r.verified[key]
	if !known {
		if len(r.verified) >= maxIssuers {
			clear(r.verified)
		}
		good = list.CheckSignatureFrom(issuer) == nil
		r.verified[key] = good
	}
	return good
}

// check returns an error if a certificate of a chain is revoked, or if its issuer has no list that
// is in force. The last one of the chain is a CA that the CA file has, and needs no list. until is
// when the first of the lists expires, or another one comes into force; the zero time: neither
// happens. A nil r checks nothing.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if r == nil {
		return time.Time{}, nil
	}
	for i, c := range chain[:len(chain)-1] {
		list, next, err := r.inForce(chain[i+1], now)
		if err != nil {
			return time.Time{}, err
		}
		if list.has(c) {
			return time.Time{}, &revokedError{c}
		}
		until = earliest(until, list.NextUpdate, next)
	}
	last := chain[len(chain)-1]
	for _, list := range r.lists { // whoever has signed it, and whatever its age
		if bytes.Equal(list.RawIssuer, last.RawIssuer) && list.has(last) {
			return time.Time{}, &revokedError{last}
		}
	}
	return until, nil
}

// earliest returns the first of some times. The zero time is none of them.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// inForce returns the newest list of an issuer. next is when another one comes into force; the zero
// time: none does.
func (r *revocations) inForce(
	issuer *x509.Certificate, now time.Time,
) (newest *revocationList, next time.Time, err error) {
	fault := errors.New("there is none")
	for _, list := range r.lists {
		if !r.isSignedBy(list, issuer) {
			continue
		}
		if err := list.checkTime(now); err != nil {
			fault = err
			if now.Before(list.ThisUpdate) {
				next = earliest(next, list.ThisUpdate)
			}
		} else if newest == nil || list.ThisUpdate.After(newest.ThisUpdate) {
			newest = list
		}
	}
	if newest == nil {
		err := fmt.Errorf("no revocation list of %q is in force: %w", issuer.Subject, fault)
		return nil, time.Time{}, err
	}
	return newest, next, nil
}

// checkTime returns an error if a list is not in force yet, or not any more.
func (l *revocationList) checkTime(now time.Time) error {
	if now.Before(l.ThisUpdate) {
		return fmt.Errorf("it is of %v", l.ThisUpdate)
	}
	if !l.NextUpdate.IsZero() && !now.Before(l.NextUpdate) {
		return fmt.Errorf("it has expired at %v", l.NextUpdate)
	}
	return nil
}

func (l *revocationList) has(c *x509.Certificate) bool {
	return l.revoked[string(c.SerialNumber.Bytes())]
}

// revokedError says that a certificate is revoked.
type revokedError struct{ certificate *x509.Certificate }

func (e *revokedError) Error() string {
	return fmt.Sprintf("the certificate of %q with serial number %x is revoked",
		e.certificate.Subject, e.certificate.SerialNumber)
}
