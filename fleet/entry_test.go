package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

const testFleet = "test"

// hashOfSecret is the bcrypt hash of a password, of the lowest cost.
const hashOfSecret = "$2y$04$yj2AafDAzcnAnjhFfTzZ2ulPhbzQYwVzHR8ChdTHW2u0x5OJLUC.m"

// signerOf is a key to sign with that a test makes again from a number.
func signerOf(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// keyOf is a public key of CURVE by its number.
func keyOf(n int) (key zmqauth.PublicKey) {
	key[0], key[1] = byte(n), 1
	return key
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)

// validEntries are entries of all kinds, by their keys.
func validEntries() map[string]Entry {
	key := strings.Repeat("0", 60)
	return map[string]Entry{
		"c.global.0101" + key: {Kind: KindKey, Domain: "global", PublicKey: keyOf(1), State: Granted,
			UserID: "ann", Metadata: map[string]string{"Role": "<operator>", "B": ""}, By: "bob",
			Why: "ticket 7", At: testTime, NotBefore: testTime, NotAfter: testTime.Add(time.Hour),
			Revision: 5},
		"c.=Kg.0201" + key: {Kind: KindKey, Domain: "*", PublicKey: keyOf(2), State: Revoked,
			Revision: 1},
		"u.a_-b.YW5u": {Kind: KindUser, Domain: "a_-b", Name: "ann", State: Granted,
			Hash: hashOfSecret, Revision: 2},
		"u.d.AGE_": {Kind: KindUser, Domain: "d", Name: "\x00a?", State: Revoked, Revision: 2},
		"g.=YS5i.Ki9hQFI": {Kind: KindPrincipal, Domain: "a.b", Name: "*/a@R", State: Granted,
			Revision: 3},
		"a.d": {Kind: KindAddresses, Domain: "d", State: Granted, List: Allow,
			Addresses: []string{"127.0.0.1", "10.0.0.0/8", "uid:7"}, Revision: 4},
		"server.s-1": {Kind: KindServer, Name: "s-1", Report: &Status{Version: "1", At: testTime}},
		"sums.0": {Kind: KindSums, Name: "0", State: Granted, Sums: make([]byte, 64),
			Revision: 7},
		"meta": {Kind: KindMeta, State: Granted, Epoch: "e1", Revision: 1},
	}
}

// TestEntry: each kind has its key, and Encode and ParseEntry are the reverse of each other.
func TestEntry(t *testing.T) {
	for key, e := range validEntries() {
		if e.Name == "\x00a?" { // a name with a NUL
			if _, err := e.Encode(); err == nil {
				t.Errorf("%s: no error", key)
			}
			continue
		}
		if got := e.Key(); got != key {
			t.Errorf("key %s, not %s", got, key)
		}
		if e.Kind != KindServer {
			must.OK(t, e.Sign(testFleet, signerOf(1)))
		}
		text, err := e.Encode()
		must.OK(t, err)
		again, err := ParseEntry(key, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if e.Kind != KindServer && again.text != string(text) {
			t.Errorf("%s is kept as %s", text, again.text)
		}
		again.text = ""
		if got := fmt.Sprintf("%+v", plain(again)); got != fmt.Sprintf("%+v", plain(e)) {
			t.Errorf("%s became %s", text, got)
		}
	}
}

// plain is an entry that fmt shows as it is.
func plain(e Entry) any {
	type shown Entry
	e.Hash = ""
	s := shown(e)
	if s.Report != nil {
		s.Name, s.Report = fmt.Sprint(s.Name, *s.Report), nil
	}
	return s
}

// TestEntryForm: the canonical value, byte by byte, because signatures rest on it.
func TestEntryForm(t *testing.T) {
	e := validEntries()["c.global.0101"+strings.Repeat("0", 60)]
	text, err := e.Encode()
	must.OK(t, err)
	const want = `{"state":"granted","user":"ann","metadata":{"B":"","Role":"\u003coperator\u003e"},` +
		`"not-before":"2026-01-02T03:04:05.006Z","not-after":"2026-01-02T04:04:05.006Z",` +
		`"by":"bob","why":"ticket 7","at":"2026-01-02T03:04:05.006Z","revision":5}`
	if string(text) != want {
		t.Errorf("%s\nnot\n%s", text, want)
	}
}

// TestParseEntryRefuses: what is not exactly an entry is none. Errors name the key, and no secret.
func TestParseEntryRefuses(t *testing.T) {
	key := "c.d.01" + strings.Repeat("0", 62)
	const user = "u.d.YW5u"
	for name, test := range map[string]struct{ key, value, want string }{
		"no kind":        {"x.d", `{}`, "none of c."},
		"empty":          {"", `{}`, "none of c."},
		"too many parts": {key + ".a", `{}`, "none of c."},
		"upper-case hex": {"c.d." + strings.Repeat("AB", 32), `{}`, "would be written as"},
		"short key":      {"c.d.01", `{}`, "64 digits"},
		"zero key": {"c.d." + strings.Repeat("0", 64),
			`{"state":"granted","revision":1}`, "zero"},
		"a domain in vain": {"a.=ZA", `{}`, "would be written as"},
		"an empty domain":  {"a.", `{}`, "would be written as"},
		"padding":          {"u.d.YQ==", `{}`, "base64url"},
		"loose bits":       {"u.d.YR", `{}`, "would be written as"},
		"no JSON":          {key, `granted`, "canonical"},
		"no state":         {key, `{"revision":1}`, "neither"},
		"another state":    {key, `{"state":"Granted","revision":1}`, "neither"},
		"no revision":      {key, `{"state":"granted"}`, "revision"},
		"a huge revision":  {key, `{"state":"granted","revision":18446744073709551615}`, "revision"},
		"a space":          {key, `{"state": "granted","revision":1}`, "canonical"},
		"more":             {key, `{"state":"granted","revision":1}{}`, "canonical"},
		"another order":    {key, `{"revision":1,"state":"granted"}`, "canonical"},
		"twice":            {key, `{"state":"revoked","state":"granted","revision":1}`, "canonical"},
		"another case":     {key, `{"State":"granted","revision":1}`, "canonical"},
		"an unknown field": {key, `{"state":"granted","revision":1,"x":1}`, "canonical"},
		"another zone": {key,
			`{"state":"granted","at":"2026-01-01T00:00:00+01:00","revision":1}`, "canonical"},
		"no time": {key, `{"state":"granted","at":"today","revision":1}`, "RFC 3339"},
		"times": {key,
			`{"state":"granted","not-before":"2026-01-02T00:00:00Z",` +
				`"not-after":"2026-01-01T00:00:00Z","revision":1}`, "not later"},
		"metadata": {key,
			`{"state":"granted",` +
				`"metadata":{"User-Id":"root"},"revision":1}`, "libzmq sets"},
		"a control": {key, `{"state":"granted","why":"a\nb","revision":1}`, "control"},
		"a hash of a key": {key,
			`{"state":"granted","hash":"secret","revision":1}`, "hash is not for"},
		"a password":        {user, `{"state":"granted","hash":"secret","revision":1}`, "no bcrypt"},
		"no password":       {user, `{"state":"granted","revision":1}`, "no bcrypt"},
		"a foreign hash":    {user, `{"state":"granted","hash":"$6$secret","revision":1}`, "hash"},
		"a principal":       {"g.d.YW5u", `{"state":"granted","revision":1}`, "realm"},
		"revoked addresses": {"a.d", `{"state":"revoked","list":"allow","revision":1}`, "replaced"},
		"no list":           {"a.d", `{"state":"granted","revision":1}`, "neither"},
		"a broken address": {"a.d",
			`{"state":"granted","list":"allow","addresses":["1.2.3"],"revision":1}`, "1.2.3"},
		"addresses of a key": {key,
			`{"state":"granted","addresses":["::1"],"revision":1}`, "list is not for"},
		"no report":       {"server.a", `{}`, "report"},
		"a server's name": {"server.a b", `{"report":{}}`, "letters"},
		"no epoch":        {"meta", `{"state":"granted","revision":1}`, "epoch"},
		"too large":       {key, strings.Repeat(" ", MaxValue+1), "larger"},
		"a large report": {"server.a", `{"report":{"x":"` + strings.Repeat("x", maxReport) + `"}}`,
			"larger"},
	} {
		e, err := ParseEntry(test.key, []byte(test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.Contains(err.Error(), fmt.Sprintf("%q", test.key)) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error has a secret: %v", name, err)
		}
		if e.Key() != test.key || e.Err() == nil {
			t.Errorf("%s: the entry is %v, with the error %v", name, e, e.Err())
		}
	}
}

// TestEntryHidesHash: no way of showing an entry shows the hash.
func TestEntryHidesHash(t *testing.T) {
	e := validEntries()["u.a_-b.YW5u"]
	var log logbuffer.Buffer
	log.Logger().Info("x", "entry", e, "hash", e.Hash, slog.Any("pointer", &e))
	text := log.String() + fmt.Sprintf("%v %+v %#v %s %q %x %v", e, e, e, e, e.Hash, e.Hash, &e)
	if strings.Contains(text, "$2y$") || strings.Contains(text, fmt.Sprintf("%x", "$2y$")) {
		t.Errorf("the hash is shown: %s", text)
	}
}

// TestSign: a signature stands for one entry of one fleet, as it is.
func TestSign(t *testing.T) {
	by := signerOf(1)
	good := validEntries()["u.a_-b.YW5u"]
	must.OK(t, good.Sign(testFleet, by))
	must.OK(t, good.Verify(testFleet, publicOf(signerOf(2)), publicOf(by)))
	for name, test := range map[string]struct {
		fleet  string
		trust  ed25519.PublicKey
		change func(*Entry)
		want   error
	}{
		"another fleet":  {"other", publicOf(by), func(*Entry) {}, ErrSignature},
		"another signer": {testFleet, publicOf(signerOf(2)), func(*Entry) {}, ErrSignature},
		"no signer":      {testFleet, nil, func(*Entry) {}, ErrSignature},
		"no signature":   {testFleet, publicOf(by), func(e *Entry) { e.Signature = nil }, ErrUnsigned},
		"a cut signature": {testFleet, publicOf(by), func(e *Entry) { e.Signature = e.Signature[:63] },
			ErrSignature},
		"another domain":   {testFleet, publicOf(by), func(e *Entry) { e.Domain = "d" }, ErrSignature},
		"another name":     {testFleet, publicOf(by), func(e *Entry) { e.Name = "bob" }, ErrSignature},
		"another revision": {testFleet, publicOf(by), func(e *Entry) { e.Revision++ }, ErrSignature},
		"another state":    {testFleet, publicOf(by), func(e *Entry) { e.State = Revoked }, ErrSignature},
		"another user id":  {testFleet, publicOf(by), func(e *Entry) { e.UserID = "root" }, ErrSignature},
	} {
		e := good
		test.change(&e)
		err := e.Verify(test.fleet, test.trust)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), e.Key()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.Sign(testFleet, by[:10]); err == nil {
		t.Error("a cut key signs")
	}
	if err := good.Sign("a b", by); err == nil {
		t.Error("a fleet has a space")
	}
}

// TestNextRevision: a revision grows whatever the clock does.
func TestNextRevision(t *testing.T) {
	now := uint64(testTime.UnixMicro())
	for last, want := range map[uint64]uint64{0: now, now: now + 1, now + 9: now + 10} {
		if got := NextRevision(last, testTime); got != want {
			t.Errorf("after %d: %d", last, got)
		}
	}
	if got := NextRevision(3, time.Time{}); got != 4 {
		t.Errorf("before 1970: %d", got)
	}
}

// FuzzParseEntry: what is taken is written again as it was, package json says the same of
// everything, and nothing crashes.
func FuzzParseEntry(f *testing.F) {
	for key, e := range validEntries() {
		if text, err := e.Encode(); err == nil {
			f.Add(key, text)
		}
	}
	for _, value := range hostileValues() {
		f.Add("c.d.01"+strings.Repeat("0", 62), []byte(value))
	}
	f.Fuzz(func(t *testing.T, key string, text []byte) {
		e, err := ParseEntry(key, text)
		sameAsJSON(t, key, string(text))
		if e.Key() != key {
			t.Fatalf("key %q, not %q", e.Key(), key)
		}
		if err != nil {
			if e.Err() == nil {
				t.Fatal("a broken entry passes for a good one")
			}
			return
		}
		again, err := e.Encode()
		if err != nil || e.Kind != KindServer && string(again) != string(text) {
			t.Fatalf("%q became %q, %v", text, again, err)
		}
	})
}

// FuzzSnapshot: whatever the file has, nothing crashes, and no grant comes of it that is not
// signed.
func FuzzSnapshot(f *testing.F) {
	l := newLedger(trust{fleet: testFleet, signers: []ed25519.PublicKey{publicOf(signerOf(1))}})
	text, err := l.encode(Position{Epoch: "e", Revision: 1}, testTime)
	must.OK(f, err)
	f.Add(text, []byte(`{"key":"meta"}`))
	f.Fuzz(func(t *testing.T, text, body []byte) {
		restored := newLedger(l.trust)
		_, _, _ = restored.decode(text)
		// A snapshot of who trusted others is whole, whatever it says.
		sum := sha256.Sum256(body)
		first, err := json.Marshal(header{Format: snapshotFormat, Size: len(body),
			Sum: hex.EncodeToString(sum[:])})
		must.OK(t, err)
		whole := append(append(first, '\n'), body...)
		_, changes, _ := newLedger(l.trust).decode(append(whole, sealed(body)...))
		for _, c := range changes {
			if c.kind.isClient() && c.now != out {
				e, err := c.entry()
				must.OK(t, err)
				must.OK(t, l.trust.verify(e))
			}
		}
	})
}
