package zaptest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zaptest"
)

// faulty is a handler with one fault and the names of the checks that must fail. No other check may
// fail. The name of a check that ends the handler has an asterisk.
type faulty struct {
	name  string
	fault fault
	fails string
}

// faults are the faults of handlers that are set up with all clients that the suite can use.
var faults = []faulty{
	{"nothing", fault{}, ""},

	{"six frames",
		edit(func(o *outgoing) { o.frames = o.frames[:5] }),
		"reply-frames accept-metadata malformed-reply"},
	{"eight frames",
		edit(func(o *outgoing) { o.frames = append(o.frames, "") }),
		"reply-frames malformed-reply"},
	{"two delimiters",
		edit(func(o *outgoing) { o.envelope = append(o.envelope, "") }),
		"reply-frames reply-version reply-status-code reply-id reply-id-empty reply-id-binary " +
			"reply-id-long accept-metadata refuse-user-id envelope-req envelope-dealer " +
			"envelope-peers envelope-interleaved null-accept plain-accept curve-accept " +
			"gssapi-accept gssapi-refuse malformed-version malformed-mechanism malformed-null " +
			"malformed-plain malformed-curve malformed-curve-key malformed-gssapi malformed-short " +
			"malformed-one-frame malformed-command malformed-envelope malformed-reply " +
			"hostile-huge hostile-frames load-one-peer load-many-peers load-unread"},
	{"version 1.1", edit(func(o *outgoing) { o.frames[0] = "1.1" }), "reply-version malformed-reply"},
	{"status 403",
		edit(func(o *outgoing) { o.frames[2] = strings.Replace(o.frames[2], "400", "403", 1) }),
		"reply-status-code malformed-reply"},
	{"long text",
		edit(func(o *outgoing) { o.frames[3] = strings.Repeat("n", 256) }),
		"reply-status-text"},
	{"text in UTF-8",
		edit(func(o *outgoing) { o.frames[3] = "Zugang für niemanden" }),
		"reply-status-text"},
	{"one id for all",
		edit(func(o *outgoing) { o.frames[1] = "1" }),
		"reply-id reply-id-empty reply-id-binary reply-id-long envelope-req envelope-dealer " +
			"envelope-peers envelope-interleaved gssapi-refuse malformed-version " +
			"malformed-mechanism malformed-null malformed-plain malformed-curve " +
			"malformed-curve-key malformed-gssapi malformed-short malformed-one-frame " +
			"malformed-command malformed-envelope malformed-reply hostile-huge hostile-frames " +
			"load-one-peer load-many-peers load-unread"},
	{"empty id replaced", edit(func(o *outgoing) {
		if o.frames[1] == "" {
			o.frames[1] = "0"
		}
	}), "reply-id-empty"},
	{"id as a C string",
		edit(func(o *outgoing) { o.frames[1] = cut(o.frames[1]) }),
		"reply-id-binary"},
	{"id of 255",
		edit(func(o *outgoing) { o.frames[1] = o.frames[1][:min(255, len(o.frames[1]))] }),
		"reply-id-binary reply-id-long"},
	{"long user id",
		accepting(func(o *outgoing) { o.frames[4] = strings.Repeat("u", 256) }),
		"accept-user-id"},
	{"user id with NUL", accepting(func(o *outgoing) { o.frames[4] = "ann\x00" }), "accept-no-nul"},
	{"metadata cut short",
		accepting(func(o *outgoing) { o.frames[5] = strings.TrimSuffix(o.frames[5], "r") }),
		"accept-metadata-format accept-metadata"},
	{"metadata in host order",
		metadata("\x01n\x01\x00\x00\x00v"),
		"accept-metadata-format accept-metadata"},
	{"an empty name", metadata("\x00\x00\x00\x00\x01v"), "accept-metadata-format accept-metadata"},
	{"a name with a blank",
		metadata(properties(map[string]string{"a b": "v"})),
		"accept-metadata-format accept-metadata"},
	{"Identity", metadata(properties(map[string]string{"Identity": "v"})), "accept-metadata-names"},
	{"user-id", metadata(properties(map[string]string{"user-id": "v"})), "accept-metadata-names"},
	{"__fd", metadata(properties(map[string]string{"__fd": "v"})), "accept-metadata-names"},
	{"a name twice",
		metadata(properties(map[string]string{"x": "1"}) + properties(map[string]string{"X": "2"})),
		"accept-metadata-names"},
	{"metadata with NUL", metadata(properties(map[string]string{"x": "a\x00b"})), "accept-no-nul"},
	{"no metadata", accepting(func(o *outgoing) { o.frames[5] = "" }), "accept-metadata"},
	{"refusals with a user id",
		refusing(func(o *outgoing) { o.frames[4] = "anonymous" }),
		"refuse-user-id"},
	{"refusals with metadata",
		refusing(func(o *outgoing) { o.frames[5] = "\x01n\x00\x00\x00\x01v" }),
		"refuse-metadata"},

	{"one hop only",
		edit(func(o *outgoing) { o.envelope = []string{o.envelope[0], ""} }),
		"envelope-hops envelope-interleaved"},
	{"requests told apart by id", fault{batch: byID}, "envelope-peers envelope-interleaved"},
	{"two replies to a request", fault{send: twice}, "envelope-dealer load-one-peer load-many-peers"},
	{"a verdict of another",
		fault{batch: swapped},
		"envelope-dealer envelope-peers envelope-interleaved load-one-peer load-many-peers"},
	{"loses one of a series", fault{send: loses("17")}, "envelope-req"},
	{"dies when a server has left", fault{setup: strict}, "load-leaving load-unread"},
	{"waits for a server that does not read", fault{setup: bounded, send: patient}, "load-unread"},

	{"NULL refused",
		misjudge(func(_ *model, q query, yes bool) bool { return yes && q.mechanism != "NULL" }),
		"null-accept"},
	{"any mechanism", misjudge(func(m *model, q query, yes bool) bool {
		known := slices.Contains([]string{"NULL", "PLAIN", "CURVE", "GSSAPI", ""}, q.mechanism)
		return yes || !known && m.passes(q.address)
	}), "mechanism-unknown"},
	{"mechanism as a C string",
		fault{misread: func(q *query) { q.mechanism = cut(q.mechanism) }},
		"mechanism-unknown"},
	{"mechanism in any case",
		fault{misread: func(q *query) { q.mechanism = strings.ToUpper(q.mechanism) }},
		"mechanism-unknown"},
	{"PLAIN refused",
		misjudge(func(_ *model, q query, yes bool) bool { return yes && q.mechanism != "PLAIN" }),
		"accept-metadata plain-accept"},
	{"password by prefix", plain(func(m *model, user, password string) bool {
		return user == m.User && strings.HasPrefix(m.Password, password)
	}), "plain-wrong-password"},
	{"password without regard to case", plain(func(m *model, user, password string) bool {
		return user == m.User && strings.EqualFold(password, m.Password)
	}), "plain-wrong-password"},
	{"password alone",
		plain(func(m *model, user, password string) bool { return password == m.Password }),
		"plain-unknown-user plain-nul"},
	{"a user who is missing has an empty password", plain(func(m *model, user, password string) bool {
		return password == map[string]string{m.User: m.Password}[user]
	}), "plain-unknown-user-empty-password"},
	{"credentials as C strings",
		plain(func(m *model, user, password string) bool {
			return cut(user) == m.User && cut(password) == m.Password
		}),
		"plain-nul"},
	{"CURVE refused",
		misjudge(func(_ *model, q query, yes bool) bool { return yes && q.mechanism != "CURVE" }),
		"accept-metadata curve-accept"},
	{"any key", curve(func(_ *model, key string) bool { return len(key) == 32 }), "curve-unknown-key"},
	{"a part of the key",
		curve(func(m *model, key string) bool { return len(key) == 32 && key[1:] == string(m.Key[1:]) }),
		"curve-unknown-key"},
	{"GSSAPI refused",
		misjudge(func(_ *model, q query, yes bool) bool { return yes && q.mechanism != "GSSAPI" }),
		"gssapi-accept"},
	{"GSSAPI refused with 400",
		edit(func(o *outgoing) { o.frames[2] = strings.Replace(o.frames[2], "999", "400", 1) }),
		"gssapi-refuse"},
	{"no domains",
		fault{misread: func(q *query) { q.domain = "global" }},
		"domain-other domain-exact"},
	{"domain * is any",
		fault{misread: func(q *query) { q.domain = strings.Replace(q.domain, "*", "global", 1) }},
		"domain-other"},
	{"domain as a C string",
		fault{misread: func(q *query) { q.domain = cut(q.domain) }},
		"domain-exact"},
	{"domain in any case",
		fault{misread: func(q *query) { q.domain = strings.ToLower(q.domain) }},
		"domain-exact"},
	{"no addresses",
		fault{misread: func(q *query) { q.address = "192.0.2.1" }},
		"address-refuse address-forms address-unreadable"},
	{"addresses as strings", fault{misread: func(q *query) {
		if q.address != "192.0.2.66" {
			q.address = "192.0.2.1"
		}
	}}, "address-forms address-unreadable"},
	{"mapped addresses refused",
		misjudge(func(_ *model, q query, yes bool) bool {
			return yes && !strings.HasPrefix(q.address, "::")
		}),
		"address-forms"},
	{"address as a C string",
		fault{misread: func(q *query) { q.address = cut(q.address) }},
		"address-unreadable"},

	{"any version", fault{misread: func(q *query) { q.version = "1.0" }}, "malformed-version"},
	{"an empty mechanism is NULL", fault{misread: func(q *query) {
		if q.mechanism == "" && len(q.body) >= 6 {
			q.mechanism, q.credentials = "NULL", nil
		}
	}}, "malformed-mechanism"},
	{"NULL with anything", fault{misread: func(q *query) {
		if q.mechanism == "NULL" {
			q.credentials = nil
		}
	}}, "malformed-null"},
	{"PLAIN with more", firstCredentials("PLAIN", 2), "malformed-plain"},
	{"CURVE with more", firstCredentials("CURVE", 1), "malformed-curve"},
	{"GSSAPI with more", misjudge(func(_ *model, q query, yes bool) bool {
		return yes || q.mechanism == "GSSAPI" && len(q.credentials) != 1
	}), "malformed-gssapi"},
	{"a key that goes on",
		curve(func(m *model, key string) bool { return strings.HasPrefix(key, string(m.Key)) }),
		"malformed-curve-key"},
	{"dies of another version",
		dies(func(q query) bool { return len(q.body) > 5 && q.version != "1.0" }),
		"malformed-version*"},
	{"dies of a short key", dies(func(q query) bool {
		return q.mechanism == "CURVE" && len(q.credentials) == 1 && len(q.credentials[0]) != 32
	}), "malformed-curve-key*"},
	{"dies of a missing password",
		dies(func(q query) bool { return q.mechanism == "PLAIN" && len(q.credentials) < 2 }),
		"malformed-plain*"},
	{"dies of a short request",
		dies(func(q query) bool { return len(q.body) == 5 }),
		"malformed-short*"},
	{"accepts a short request",
		misjudge(func(_ *model, q query, yes bool) bool { return yes || len(q.body) == 4 }),
		"malformed-short"},
	{"dies of one frame",
		dies(func(q query) bool { return len(q.body) == 1 && q.version == "1.0" }),
		"malformed-one-frame*"},
	{"ends at QUIT", dies(func(q query) bool { return q.version == "QUIT" }), "malformed-command*"},
	{"dies without a delimiter",
		dies(func(q query) bool { return len(q.envelope) == 0 }),
		"malformed-envelope*"},
	{"refuses an identity",
		misjudge(func(_ *model, q query, yes bool) bool {
			return yes && !strings.Contains(q.identity, "\xff")
		}),
		"identity-binary"},
	{"dies of an empty domain",
		dies(func(q query) bool { return len(q.body) > 5 && q.domain == "" }),
		"domain-empty*"},
	{"dies of NUL",
		dies(func(q query) bool { return strings.Contains(q.address, "a\x00b") }),
		"hostile-nul*"},
	{"dies of UTF-8",
		dies(func(q query) bool { return strings.Contains(q.address, "\xc3(") }),
		"hostile-utf8*"},
	{"dies of a format",
		dies(func(q query) bool { return strings.Contains(q.identity, "%n") }),
		"hostile-format*"},
	{"dies of a huge frame",
		dies(func(q query) bool { return len(q.identity) > 1<<16 }),
		"hostile-huge*"},
	{"dies of many frames", dies(func(q query) bool { return len(q.body) > 5000 }), "hostile-frames*"},
	{"loses one in a thousand", fault{send: loses("load 1000")}, "load-one-peer load-many-peers"},
}

// faultyWithoutSetup are handlers that have no users and no keys.
var faultyWithoutSetup = []faulty{
	{"nothing", fault{}, ""},
	{"never answers", dies(func(query) bool { return true }), "answers*"},
	{"any user", misjudge(func(_ *model, q query, yes bool) bool {
		return yes || q.mechanism == "PLAIN" && len(q.credentials) == 2 &&
			q.credentials[0] == q.credentials[1]
	}), "plain-unconfigured"},
	{"any key", misjudge(func(_ *model, q query, yes bool) bool {
		return yes || q.mechanism == "CURVE" && len(q.credentials) == 1 && len(q.credentials[0]) == 32
	}), "curve-unconfigured"},
}

// TestFaultsAreFound runs the suite on faulty handlers. Exactly the checks that must fail do.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	known := testHandler()
	known.Metadata = map[string]string{"Role": "operator"}
	known.RefusedPrincipal = "bob@EXAMPLE.ORG"
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { t.Parallel(); f.mustBeFound(t, known) })
	}
	for _, f := range faultyWithoutSetup {
		t.Run("without setup: "+f.name, func(t *testing.T) {
			t.Parallel()
			f.mustBeFound(t, zaptest.Handler{})
		})
	}
}

// TestEveryCheckCanFail makes sure that each check has a fault that it finds.
func TestEveryCheckCanFail(t *testing.T) {
	found := make(map[string]bool)
	for _, f := range append(faults, faultyWithoutSetup...) {
		for name := range strings.FieldsSeq(f.fails) {
			found[strings.TrimSuffix(name, "*")] = true
		}
	}
	for _, name := range checkNames() {
		if !found[name] {
			t.Errorf("no fault makes %s fail", name)
		}
	}
}

func (f faulty) mustBeFound(t *testing.T, h zaptest.Handler) {
	t.Helper()
	h.Timeout = 5 * time.Second
	if strings.Contains(f.fails, "*") {
		h.Timeout = 3 * time.Second // the test waits that long after the end of the handler
	}
	ctx := testzmq.NewContext(t)
	startModel(t, ctx, h, f.fault)
	var failed []string
	results := zaptest.Check(ctx, h)
	for _, r := range results {
		if r.Failed() {
			failed = append(failed, r.Name)
		}
	}
	if want := f.failures(results); !slices.Equal(failed, want) {
		t.Errorf("failed:\n%s\nshould be:\n%s", strings.Join(failed, " "), strings.Join(want, " "))
	}
}

// failures returns the names of the checks that must fail. After a check that ended the handler,
// all checks that apply must fail.
func (f faulty) failures(results []zaptest.Result) (names []string) {
	fails := strings.Fields(f.fails)
	dead := false
	for _, r := range results {
		dead = dead || slices.Contains(fails, r.Name+"*")
		applies := !errors.Is(r.Err, zaptest.ErrNotApplicable)
		if dead && applies || slices.Contains(fails, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

func checkNames() []string {
	var names []string
	for _, r := range zaptest.Requirements() {
		names = append(names, r.Name)
	}
	return names
}
