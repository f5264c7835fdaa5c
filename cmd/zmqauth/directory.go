package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zmqauth/zmqauth"
)

// secretSuffix ends the names of secret certificates.
const secretSuffix = "_secret"

// readDirectory describes the certificates of a directory, sorted by name. These are the files that
// zmqauth.LoadCertificates reads, and the secret certificates.
func readDirectory(dir string) ([]certificateInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, cause(err))
	}
	var certificates []certificateInfo
	type kindAndKey struct{ kind, key string }
	first := make(map[kindAndKey]string) // the first file that has a key
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || isIgnored(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue // a symbolic link to a directory
		}
		info := examine(path, name)
		if info.Key != "" {
			key := kindAndKey{info.Kind, info.Key}
			if other, ok := first[key]; ok {
				info.Problems = append(info.Problems, "the same key as "+other)
			} else {
				first[key] = name
			}
		}
		certificates = append(certificates, info)
	}
	return certificates, nil
}

// isIgnored tells whether a name is that of a hidden file, or of a backup or lock of an editor.
func isIgnored(name string) bool {
	isLock := name[0] == '#' && strings.HasSuffix(name, "#")
	return name[0] == '.' || strings.HasSuffix(name, "~") || isLock
}

// examine describes one file. If the file has no valid certificate, that is its problem.
func examine(path, name string) certificateInfo {
	kind := kindPublic
	if strings.HasSuffix(name, secretSuffix) {
		kind = kindSecret
	}
	cert, err := zmqauth.LoadCertificate(path)
	if err != nil {
		return certificateInfo{File: name, Kind: kind, Problems: []string{problem(err)}}
	}
	info := describe(name, cert)
	if info.Kind != kind {
		info.Problems = append(info.Problems, map[string]string{
			kindPublic: "a secret key in a file that is named like a public certificate",
			kindSecret: "no secret key in a file that is named like a secret certificate",
		}[kind])
		info.Kind = kind
	}
	return info
}
