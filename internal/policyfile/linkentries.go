package policyfile

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linkEntry describes one entry of a link's section.
type linkEntry struct {
	name     string
	set      func(value string) error
	many     bool // it may be repeated
	required bool
}

// linkSection is what is read below a link's name.
type linkSection struct {
	entries []linkEntry
	// check finds what is wrong with the entries together. It calls fail with the name of the entry
	// to blame, "" for the section. has tells whether an entry is there.
	check func(has func(entry string) bool, fail func(entry string, err error))
	// listens returns where the section listens on this host, by the entry.
	listens func() []listening
}

// listening is an address that a section listens at.
type listening struct {
	entry string
	at    Address
}

// linkReader makes the functions that set values.
type linkReader struct {
	resolve func(path string) string // makes it absolute
	prefix  string                   // of the names of entries in errors
}

func (r linkReader) listen(to *Address) func(string) error {
	return func(value string) (err error) {
		if *to, err = parseAddress(value, r.resolve); err == nil {
			err = to.checkListen()
		}
		return err
	}
}

func (r linkReader) connect(to *Address) func(string) error {
	return func(value string) (err error) {
		if *to, err = parseAddress(value, r.resolve); err == nil {
			err = to.checkConnect()
		}
		return err
	}
}

func (r linkReader) path(to *string) func(string) error {
	return func(value string) error {
		*to = r.resolve(value)
		return nil
	}
}

// pathOrNone is path, but for the word that means no file.
func (r linkReader) pathOrNone(to *string) func(string) error {
	return func(value string) error {
		if *to = value; value != None {
			*to = r.resolve(value)
		}
		return nil
	}
}

func setText(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return nil
	}
}

func setSwitch(to *bool) func(string) error {
	return func(value string) error {
		*to = value == Yes
		return oneOf(Yes, No)(value)
	}
}

// setCount reads a number from 1 on.
func setCount(to *int) func(string) error {
	return func(value string) error {
		number, err := strconv.ParseInt(value, 10, 32)
		if err != nil || number < 1 {
			return errors.New("not a number, from 1 on")
		}
		*to = int(number)
		return nil
	}
}

func setTime(to *time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return errors.New("not a time such as 30s, 10m or 24h")
		}
		*to = d
		return nil
	}
}

func setFileMode(to *fs.FileMode) func(string) error {
	return func(value string) (err error) {
		*to, err = parseMode(value)
		return err
	}
}

func setVersion(to *uint16) func(string) error {
	return func(value string) error {
		*to = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[value]
		return oneOf("1.2", "1.3")(value)
	}
}

// nameKinds are the kinds of names that a certificate may have, as package stream knows them.
var nameKinds = []string{"CN", "OU", "DNS", "EMAIL", "URI"}

// addName reads KIND=NAME.
func addName(to *[]string) func(string) error {
	return func(value string) error {
		kind, name, ok := strings.Cut(value, "=")
		known := func(k string) bool { return strings.EqualFold(k, kind) }
		if !ok || name == "" || !slices.ContainsFunc(nameKinds, known) {
			return fmt.Errorf("not KIND=NAME, with one of %s", strings.Join(nameKinds, ", "))
		}
		*to = append(*to, value)
		return nil
	}
}

// addFingerprints reads a list of fingerprints.
func addFingerprints(to *[]string) func(string) error {
	return func(value string) error {
		items := splitList(value)
		for _, item := range items {
			sum, err := hex.DecodeString(strings.ReplaceAll(item, ":", ""))
			if err != nil || len(sum) != sha256.Size {
				return errors.New("not a SHA-256 in 64 hexadecimal digits: " +
					"openssl x509 -noout -fingerprint -sha256")
			}
		}
		if len(items) == 0 {
			return errors.New("names nothing")
		}
		*to = append(*to, items...)
		return nil
	}
}

// listener returns the entries of a Listener.
func (r linkReader) listener(l *Listener) []linkEntry {
	return []linkEntry{
		{name: EntryListen, set: r.listen(&l.Listen), required: true},
		{name: EntryMode, set: setFileMode(&l.Mode)},
		{name: EntryGroup, set: setText(&l.Group)},
		{name: EntryMaxConns, set: setCount(&l.MaxConns)},
	}
}

// files returns the entries of TLSFiles.
func (r linkReader) files(f *TLSFiles, certRequired bool) []linkEntry {
	return []linkEntry{
		{name: EntryCert, set: r.path(&f.Cert), required: certRequired},
		{name: EntryKey, set: r.path(&f.Key)},
		{name: EntryCA, set: r.path(&f.CA)},
		{name: EntryCRL, set: r.path(&f.CRL)},
		{name: EntryMinTLS, set: setVersion(&f.MinTLS)},
	}
}

// errNeedsFile is the fault of mode and group where no address has a file.
var errNeedsFile = errors.New("is for Unix sockets")

// checkFile checks that only a section with a socket's file has a mode and a group.
func checkFile(hasFile bool, has func(string) bool, fail func(string, error)) {
	for _, entry := range []string{EntryMode, EntryGroup} {
		if has(entry) && !hasFile {
			fail(entry, errNeedsFile)
		}
	}
}

// errNotLocal is the fault of an address in clear that other hosts reach, and what allows it.
func (r linkReader) errNotLocal(entry string) error {
	return fmt.Errorf("is in clear, and neither a Unix socket nor a loopback address: "+
		"%s%s allows it", r.prefix, entry)
}

// section returns what is read below tls-serve.
func (s *TLSServe) section(r linkReader) linkSection {
	var unsafe bool
	entries := slices.Concat(r.listener(&s.Listener), r.files(&s.TLSFiles, true), []linkEntry{
		// In a policy a frontend may take the place of connect.
		{name: EntryConnect, set: r.connect(&s.Connect), required: r.prefix != ""},
		{name: EntryAllow, set: addName(&s.Allow), many: true},
		{name: EntryFingerprint, set: addFingerprints(&s.Fingerprints), many: true},
		{name: EntryAllowAny, set: setSwitch(&s.AllowAny)},
		{name: EntryStaleLimit, set: setTime(&s.StaleLimit)},
		{name: EntryHandshakeTimeout, set: setTime(&s.HandshakeTimeout)},
		{name: EntryMaxHandshakes, set: setCount(&s.MaxHandshakes)},
		{name: EntryUnsafeTarget, set: setSwitch(&unsafe)},
	})
	check := func(has func(string) bool, fail func(string, error)) {
		switch {
		case !has(EntryCA) && !s.AllowAny:
			fail("", fmt.Errorf("nobody may connect: %s%s says whose certificates are let in, "+
				"%[1]s%[3]s lets everybody in", r.prefix, EntryCA, EntryAllowAny))
		case s.AllowAny:
			for _, entry := range []string{EntryCA, EntryCRL, EntryAllow, EntryFingerprint,
				EntryStaleLimit} {
				if has(entry) {
					fail(entry, fmt.Errorf("is about certificates, and %s%s lets everybody in "+
						"without one", r.prefix, EntryAllowAny))
				}
			}
		}
		if has(EntryConnect) && !s.Connect.IsLocal() && !unsafe {
			fail(EntryConnect, r.errNotLocal(EntryUnsafeTarget))
		}
		s.checkLoop(s.Connect, fail)
		checkFile(s.Listen.HasFile(), has, fail)
	}
	return linkSection{entries, check, s.listens}
}

// section returns what is read below tls-connect.
func (c *TLSConnect) section(r linkReader) linkSection {
	var unsafe bool
	entries := slices.Concat(r.listener(&c.Listener), r.files(&c.TLSFiles, false), []linkEntry{
		{name: EntryConnect, set: r.connect(&c.Connect), required: true},
		{name: EntryServerName, set: setText(&c.ServerName)},
		{name: EntryUnsafeListen, set: setSwitch(&unsafe)},
	})
	check := func(has func(string) bool, fail func(string, error)) {
		if has(EntryKey) && !has(EntryCert) {
			fail(EntryKey, fmt.Errorf("goes with %s%s", r.prefix, EntryCert))
		}
		if c.Connect.Path != "" {
			fail(EntryConnect, errors.New("TLS goes to HOST:PORT"))
		}
		if has(EntryListen) && !c.Listen.IsLocal() && !unsafe {
			fail(EntryListen, r.errNotLocal(EntryUnsafeListen))
		}
		c.checkLoop(c.Connect, fail)
		checkFile(c.Listen.HasFile(), has, fail)
	}
	return linkSection{entries, check, c.listens}
}

// checkLoop checks that a link does not connect to itself.
func (l *Listener) checkLoop(connect Address, fail func(string, error)) {
	if connect != (Address{}) && l.Listen != (Address{}) &&
		l.Listen.Bound().Receives(connect.Bound()) {
		fail(EntryConnect, errors.New("is where the section itself listens"))
	}
}

func (l *Listener) listens() []listening { return []listening{{EntryListen, l.Listen}} }

// section returns what is read below tunnel.
func (t *Tunnel) section(r linkReader) linkSection {
	var unsafeListen, unsafeTarget bool
	entries := []linkEntry{
		{name: EntryHost, set: setText(&t.Host), required: true},
		{name: EntryForward, set: r.forward(&t.Forwards), many: true},
		{name: EntryReverse, set: r.reverse(&t.Reverses), many: true},
		{name: EntrySOCKS, set: r.socks(&t.SOCKS), many: true},
		{name: EntryMode, set: setFileMode(&t.Mode)},
		{name: EntryGroup, set: setText(&t.Group)},
		{name: EntryMaxConns, set: setCount(&t.MaxConns)},
		{name: EntrySSHConfig, set: r.pathOrNone(&t.SSHConfig)},
		{name: EntryIdentity, set: r.path(&t.Identity)},
		{name: EntryKnownHosts, set: r.path(&t.KnownHosts)},
		{name: EntryAgent, set: r.pathOrNone(&t.Agent)},
		{name: EntryAcceptNew, set: setSwitch(&t.AcceptNew)},
		{name: EntryUnsafeListen, set: setSwitch(&unsafeListen)},
		{name: EntryUnsafeTarget, set: setSwitch(&unsafeTarget)},
	}
	check := func(has func(string) bool, fail func(string, error)) {
		if !has(EntryForward) && !has(EntryReverse) && !has(EntrySOCKS) {
			fail("", fmt.Errorf("nothing goes through it: it has no %s%s, %[1]s%[3]s or %[1]s%[4]s",
				r.prefix, EntryForward, EntryReverse, EntrySOCKS))
		}
		hasFile := false
		for _, l := range t.listens() {
			hasFile = hasFile || l.at.HasFile()
			if !l.at.IsLocal() && !unsafeListen {
				fail(l.entry, fmt.Errorf("%s %w", l.at, r.errNotLocal(EntryUnsafeListen)))
			}
		}
		for _, p := range t.Reverses {
			if !p.Connect.IsLocal() && !unsafeTarget {
				fail(EntryReverse, fmt.Errorf("%s %w", p.Connect, r.errNotLocal(EntryUnsafeTarget)))
			}
		}
		checkFile(hasFile, has, fail)
	}
	return linkSection{entries, check, t.listens}
}

func (t *Tunnel) listens() (all []listening) {
	for _, p := range t.Forwards {
		all = append(all, listening{EntryForward, p.Listen})
	}
	for _, at := range t.SOCKS {
		all = append(all, listening{EntrySOCKS, at})
	}
	return all
}

// loopback is where ssh listens if only a port is given.
const loopback = "127.0.0.1"

func (r linkReader) forward(to *[]Pair) func(string) error {
	return func(value string) error {
		p, err := parsePair(value, loopback, r.resolve)
		if err == nil {
			err = p.Listen.checkListen()
		}
		*to = append(*to, p)
		return err
	}
}

func (r linkReader) reverse(to *[]Pair) func(string) error {
	return func(value string) error {
		p, err := parsePair(value, loopback, r.resolve)
		if err == nil && strings.HasPrefix(p.Listen.Path, "@") {
			err = errors.New("an abstract socket does not go through SSH")
		}
		*to = append(*to, p)
		return err
	}
}

func (r linkReader) socks(to *[]Address) func(string) error {
	return func(value string) error {
		if _, err := strconv.ParseUint(value, 10, 16); err == nil {
			value = loopback + ":" + value // ssh -D
		}
		at, err := parseAddress(value, r.resolve)
		if err == nil {
			err = at.checkListen()
		}
		*to = append(*to, at)
		return err
	}
}
