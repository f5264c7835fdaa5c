package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

const (
	// secretsTime is how long files count as read.
	secretsTime = 5 * time.Second
	// minToken is the shortest token in characters.
	minToken = 16
	// maxSecretFile is the largest of these files in bytes.
	maxSecretFile = 1 << 20
)

// secrets are the token, the certificate and the CAs of a server. They are read again where they
// are used. Files that cannot be used any more leave in force what was there.
type secrets struct {
	cfg HTTPConfig

	mu       sync.Mutex
	token    *[sha256.Size]byte // a digest of the token; nil: there is none
	tls      *tls.Config        // nil: there is none
	read     time.Time
	reminder reminder.Condition
}

func newSecrets(cfg HTTPConfig) (*secrets, error) {
	s := &secrets{cfg: cfg}
	return s, s.load()
}

// load reads the files. The caller holds s.mu, or has s alone.
func (s *secrets) load() error {
	s.read = time.Now()
	if s.cfg.TokenFile != "" {
		text, err := readFile(s.cfg.TokenFile, true)
		if err != nil {
			return err
		}
		token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if err := checkToken(token); err != nil {
			return fmt.Errorf("%s: %w", s.cfg.TokenFile, err)
		}
		digest := sha256.Sum256([]byte(token))
		s.token = &digest
	}
	if s.cfg.CertFile == "" {
		return nil
	}
	config, err := s.loadTLS()
	if err != nil {
		return err
	}
	s.tls = config
	return nil
}

// checkToken tells what is wrong with a token, and never repeats it.
func checkToken(token string) error {
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return errors.New("the token has a character that is no letter, digit or sign of ASCII, " +
				"or the file has several lines")
		}
	}
	if len(token) < minToken {
		return fmt.Errorf("the token is shorter than %d characters", minToken)
	}
	return nil
}

func (s *secrets) loadTLS() (*tls.Config, error) {
	cert, err := readFile(s.cfg.CertFile, false)
	if err != nil {
		return nil, err
	}
	key, err := readFile(s.cfg.KeyFile, true)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.cfg.CertFile, s.cfg.KeyFile, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}}
	if s.cfg.ClientCAFile == "" {
		return config, nil
	}
	cas, err := readFile(s.cfg.ClientCAFile, false)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(cas) {
		return nil, fmt.Errorf("%s: no certificate in PEM", s.cfg.ClientCAFile)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven // without one there is /healthz
	return config, nil
}

// readFile reads a file that the rule of trust holds for.
func readFile(path string, secret bool) ([]byte, error) {
	text, stamp, err := files.Read(path, maxSecretFile, nil)
	if err == nil && secret {
		err = stamp.CheckSecret(path)
	} else if err == nil {
		err = stamp.Check(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return text, nil
}

// renew reads the files again where that is due. The caller holds s.mu.
func (s *secrets) renew() {
	now := time.Now()
	if now.Sub(s.read) < secretsTime {
		return
	}
	err := s.load()
	if err == nil {
		s.reminder.Over()
	} else if s.reminder.Due(err.Error(), now, reminder.First) {
		s.cfg.Log.Error("zmqauth: a file of the status page cannot be used, "+
			"what was in force stays", "error", err)
	}
}

// isToken compares in constant time.
func (s *secrets) isToken(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil {
		return false
	}
	s.renew()
	digest := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(digest[:], s.token[:]) == 1
}

// config is for tls.Config.
func (s *secrets) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew()
	return s.tls, nil
}
