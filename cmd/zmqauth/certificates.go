package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
)

// The names of the metadata that limit the time in which a key is accepted.
const (
	notBefore = "not-before"
	notAfter  = "not-after"
)

// certificateInfo is what the commands show of a certificate. It never has the secret key.
type certificateInfo struct {
	File        string            `json:"file"`
	Kind        string            `json:"kind"` // "public", "secret" or "directory"
	Key         string            `json:"key,omitempty"`
	Fingerprint string            `json:"fingerprint,omitempty"`
	NotBefore   string            `json:"not_before,omitempty"`
	NotAfter    string            `json:"not_after,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Problems    []string          `json:"problems,omitempty"`
}

const (
	kindPublic = "public"
	kindSecret = "secret"

	kindDirectory = "directory" // of the certificates
)

// describe returns what to show of a certificate.
func describe(file string, cert *zmqauth.Certificate) certificateInfo {
	info := certificateInfo{
		File:        file,
		Kind:        kindPublic,
		Key:         cert.Public.String(),
		Fingerprint: enrol.Fingerprint(cert.Public),
		NotBefore:   cert.Metadata[notBefore],
		NotAfter:    cert.Metadata[notAfter],
		Metadata:    maps.Clone(cert.Metadata),
	}
	if cert.Secret != nil {
		info.Kind = kindSecret
	}
	delete(info.Metadata, notBefore)
	delete(info.Metadata, notAfter)
	if problem := outOfTime(cert.Metadata, time.Now()); problem != "" {
		info.Problems = append(info.Problems, problem)
	}
	return info
}

// outOfTime says why a key would not be accepted now; "" means that it would be. LoadCertificate
// has checked that the times are valid.
func outOfTime(metadata map[string]string, now time.Time) string {
	if t, err := time.Parse(time.RFC3339, metadata[notAfter]); err == nil && !now.Before(t) {
		return "expired"
	}
	if t, err := time.Parse(time.RFC3339, metadata[notBefore]); err == nil && now.Before(t) {
		return "not valid yet"
	}
	return ""
}

func (c certificateInfo) validity() string {
	var parts []string
	if c.NotBefore != "" {
		parts = append(parts, "from "+c.NotBefore)
	}
	if c.NotAfter != "" {
		parts = append(parts, "until "+c.NotAfter)
	}
	return strings.Join(parts, " ")
}

func (c certificateInfo) metadataText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		parts = append(parts, name+"="+c.Metadata[name])
	}
	return strings.Join(parts, ", ")
}

func (c certificateInfo) pairs() [][2]string {
	return [][2]string{
		{"file", c.File},
		{"kind", c.Kind},
		{"key", c.Key},
		{"fingerprint", c.Fingerprint},
		{"validity", c.validity()},
		{"metadata", c.metadataText()},
		{"problems", strings.Join(c.Problems, "; ")},
	}
}

// fingerprintHelp explains fingerprints in the help of commands that print them.
const fingerprintHelp = "The fingerprint is the SHA-256 of the key's 32 bytes in base64, as " +
	"ssh-keygen shows it."
