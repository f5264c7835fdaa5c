package sshtunnel

import (
	"golang.org/x/crypto/ssh"
)

// userCertificate is a certificate for a key of the user.
type userCertificate struct {
	*ssh.Certificate
	file string
}

// loadCertificates reads certificates. Like ssh, it passes over files that are none. faults has an
// error for each file that other users can write.
func loadCertificates(files []string) (found []userCertificate, faults []error) {
	for _, file := range files {
		data, err := readFile(file, maxKeyFile)
		if isUntrusted(err) {
			faults = append(faults, err)
		}
		if err != nil {
			continue // most keys have no certificate
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			continue
		}
		if certificate, ok := public.(*ssh.Certificate); ok {
			found = append(found, userCertificate{certificate, file})
		}
	}
	return found, faults
}

// withCertificates returns the signers for the certificates of a key, followed by the key's own.
func withCertificates(signer ssh.Signer, certificates []userCertificate) (all []ssh.Signer) {
	for _, c := range certificates {
		if !sameKey(c.Key, signer.PublicKey()) {
			continue
		}
		if certified, err := ssh.NewCertSigner(c.Certificate, signer); err == nil {
			all = append(all, certified)
		}
	}
	return append(all, signer)
}
