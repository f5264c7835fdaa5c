package stream

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
)

const (
	// expiryWindow is how long before its end the log warns of a certificate. If it is valid for less
	// than that times certificateShare, the warning comes in the last part of its time.
	expiryWindow     = 30 * 24 * time.Hour
	certificateShare = 5
	// listShare is the divisor for a revocation list. Most are replaced long before they expire.
	listShare = 10
	// expiryReminder is the time until the second line about something that expires.
	expiryReminder = time.Hour
)

// expiring is something of a file that is in force for a time.
type expiring struct {
	what, file, name string
	warn, until      time.Time
}

// expiries warn of what expires. The zero value has nothing.
type expiries struct {
	all    []expiring
	logged map[string]*reminder.Condition
	next   time.Time // nothing is to be said before
}

// set replaces what is watched. What has been said of the same things is not forgotten.
func (e *expiries) set(all []expiring) {
	logged := make(map[string]*reminder.Condition)
	for _, x := range all {
		logged[x.key()] = e.logged[x.key()]
		if logged[x.key()] == nil {
			logged[x.key()] = new(reminder.Condition)
		}
	}
	*e = expiries{all: all, logged: logged}
}

// look returns functions that log what is to be said now.
func (e *expiries) look(log *slog.Logger, now time.Time) (lines []func()) {
	if now.Before(e.next) {
		return nil
	}
	e.next = now.Add(reminder.MaxInterval)
	for _, x := range e.all {
		c := e.logged[x.key()]
		switch {
		case now.Before(x.warn):
			c.Over()
			e.next = earlier(e.next, x.warn)
			continue
		case now.Before(x.until):
			e.next = earlier(e.next, x.until)
			if c.Due("expires", now, expiryReminder) {
				lines = append(lines, func() {
					log.Warn("stream: a "+x.what+" expires soon", "file", x.file, "of", x.name, "at", x.until)
				})
			}
		case c.Due("expired", now, expiryReminder):
			lines = append(lines, func() {
				log.Error("stream: a "+x.what+" has expired", "file", x.file, "of", x.name, "at", x.until)
			})
		}
		e.next = earlier(e.next, c.Again())
	}
	return lines
}

// key tells things that expire apart.
func (x expiring) key() string { return fmt.Sprint(x.what, x.file, x.name, x.until.Unix()) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// expiringCertificate returns when to warn of a certificate.
func expiringCertificate(file string, c *x509.Certificate) expiring {
	window := min(expiryWindow, c.NotAfter.Sub(c.NotBefore)/certificateShare)
	return expiring{"certificate", file, c.Subject.String(), c.NotAfter.Add(-window), c.NotAfter}
}

// expiringList returns when to warn of a revocation list that expires.
func expiringList(file string, l *revocationList) expiring {
	window := l.NextUpdate.Sub(l.ThisUpdate) / listShare
	warn := l.NextUpdate.Add(-window)
	return expiring{"revocation list", file, l.Issuer.String(), warn, l.NextUpdate}
}
