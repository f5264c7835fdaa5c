package sshtunnel

import (
	"slices"

	"golang.org/x/crypto/ssh"
)

// The algorithms that a list of ssh_config may name: those of ssh, and those of x/crypto. Of the
// former not all are supported here. They are listed to tell them from misspelled ones.

func cipherNames() []string {
	return slices.Concat([]string{
		"3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-ctr", "aes192-ctr", "aes256-ctr",
		"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
	}, supportedCiphers())
}

func macNames() []string {
	return slices.Concat([]string{
		"hmac-sha1", "hmac-sha1-96", "hmac-sha2-256", "hmac-sha2-512", "hmac-md5", "hmac-md5-96",
		"umac-64@openssh.com", "umac-128@openssh.com",
		"hmac-sha1-etm@openssh.com", "hmac-sha1-96-etm@openssh.com",
		"hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
		"hmac-md5-etm@openssh.com", "hmac-md5-96-etm@openssh.com",
		"umac-64-etm@openssh.com", "umac-128-etm@openssh.com",
	}, supportedMACs())
}

func kexNames() []string {
	return slices.Concat([]string{
		"diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group14-sha256",
		"diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512",
		"diffie-hellman-group-exchange-sha1", "diffie-hellman-group-exchange-sha256",
		"ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
		"curve25519-sha256", "curve25519-sha256@libssh.org",
		"sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com", "mlkem768x25519-sha256",
	}, supportedKeyExchanges())
}

// hostKeyNames are the algorithms that keys sign with.
func hostKeyNames() []string {
	return slices.Concat([]string{
		"ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com",
		"sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com",
		"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384-cert-v01@openssh.com",
		"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521-cert-v01@openssh.com",
		"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
		"webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
		"ssh-dss", "ssh-dss-cert-v01@openssh.com", "ssh-rsa", "ssh-rsa-cert-v01@openssh.com",
		"rsa-sha2-256", "rsa-sha2-256-cert-v01@openssh.com",
		"rsa-sha2-512", "rsa-sha2-512-cert-v01@openssh.com",
	}, supportedHostKeys())
}

// The algorithms that x/crypto has, the secure ones first.

func supportedCiphers() []string {
	return slices.Concat(ssh.SupportedAlgorithms().Ciphers, ssh.InsecureAlgorithms().Ciphers)
}

func supportedMACs() []string {
	return slices.Concat(ssh.SupportedAlgorithms().MACs, ssh.InsecureAlgorithms().MACs)
}

func supportedKeyExchanges() []string {
	return slices.Concat(ssh.SupportedAlgorithms().KeyExchanges,
		ssh.InsecureAlgorithms().KeyExchanges)
}

func supportedHostKeys() []string {
	return slices.Concat(ssh.SupportedAlgorithms().HostKeys, ssh.InsecureAlgorithms().HostKeys)
}

// supportedUserKeys are the algorithms that keys of users sign with, and those of certificates for
// such keys.
func supportedUserKeys() []string {
	return withCertified(slices.Concat(ssh.SupportedAlgorithms().PublicKeyAuths,
		ssh.InsecureAlgorithms().PublicKeyAuths))
}
