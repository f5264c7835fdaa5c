package natsstore

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Role is what a user of the engines is for. The zero value may do nothing.
type Role string

// The roles of users.
const (
	// RoleServer follows the fleet. It reads everything, and writes its own reports alone.
	RoleServer Role = "server"
	// RoleAdministrator changes entries, and reads reports and the audit log.
	RoleAdministrator Role = "administrator"
	// RoleEngine makes the streams, see Store.Create, and does nothing else.
	RoleEngine Role = "engine"
)

// User is a user of the engines.
type User struct {
	Name string // of a server its id: 1 to 64 letters, digits, - and _
	Role Role
	Nkey string // the public key, "U…"
}

// Permissions are the subjects of NATS that a user may use. Nothing else is allowed.
type Permissions struct{ Publish, Subscribe []string }

// AccountAdministrators and AccountServers are the accounts that Accounts writes.
const (
	AccountAdministrators = "ZMQAUTH"
	AccountServers        = "ZMQAUTH_SERVERS"
)

// PermissionsOf are those of a user of a bucket ("": "zmqauth"). They hold within the accounts that
// Accounts writes. In the bucket's own account they are not enough for a server: it would have the
// answer to a request of its own sent to a subject of the bucket, and so write there.
func PermissionsOf(role Role, name, bucket string) Permissions {
	n := namesOf(bucket)
	inbox := InboxPrefix(name)
	p := Permissions{Subscribe: []string{inbox, inbox + ".>"}}
	switch role {
	case RoleServer:
		p.Publish = []string{directGet + n.stream(), n.getting(n.stream()), n.info(),
			n.subject("server." + name), n.audit(name), n.pending(name)}
		p.Subscribe = append(p.Subscribe, n.changes(), n.notices())
	case RoleAdministrator:
		p.Publish = []string{n.info(), streamInfo + n.stream(), n.notices(), n.audit(name)}
		for _, stream := range []string{n.stream(), n.auditStream(), n.pendingStream()} {
			p.Publish = append(p.Publish, directGet+stream, messageGet+stream, n.getting(stream))
		}
		for _, kind := range []string{"c.>", "u.>", "g.>", "a.>", "sums.>", "meta"} {
			p.Publish = append(p.Publish, n.subject(kind))
		}
		p.Subscribe = append(p.Subscribe, n.changes(), n.notices())
	case RoleEngine:
		for _, stream := range []string{n.stream(), n.auditStream(), n.pendingStream()} {
			p.Publish = append(p.Publish, "$JS.API.STREAM.CREATE."+stream,
				"$JS.API.STREAM.UPDATE."+stream, streamInfo+stream)
		}
	}
	return p
}

// InboxPrefix is what the inboxes of a user begin with, so that nobody else hears its answers. It
// is for nats.CustomInboxPrefix.
func InboxPrefix(name string) string { return "_INBOX_" + name }

// Options are those of a connection of a user: it tries for ever to reconnect, and notices within
// some 3 s that an engine has stopped to answer. It is back soon after the network is, however long
// that was away. Add how to reach an engine and who it is (nats.Nkey).
func Options(name string) []nats.Option {
	return []nats.Option{nats.CustomInboxPrefix(InboxPrefix(name)), nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(dialTime),
		nats.SkipHostLookup(), nats.SetCustomDialer(dialer{dialOnce})}
}

// Accounts are the accounts of a fleet, in the form of the configuration of nats-server (2.11 or
// later). The bucket is in one account, with administrators and engines. Servers are in another,
// which has of it what they may use and nothing else. create lets administrators make the streams,
// where no engine does.
func Accounts(bucket string, users []User, create bool) string {
	n := namesOf(bucket)
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %s {\n    jetstream: enabled\n    exports: [\n",
		AccountAdministrators)
	for _, s := range n.services() {
		fmt.Fprintf(&b, "      {service: %q, response_type: %s, accounts: [%s]}\n", s.subject,
			s.answers, AccountServers)
	}
	for _, subject := range []string{n.changes(), n.notices()} {
		fmt.Fprintf(&b, "      {stream: %q, accounts: [%s]}\n", subject, AccountServers)
	}
	b.WriteString("    ]\n    users: [\n")
	writeUsers(&b, n, users, create, func(r Role) bool { return r != RoleServer })
	fmt.Fprintf(&b, "    ]\n  }\n  %s {\n    imports: [\n", AccountServers)
	for _, s := range n.services() {
		fmt.Fprintf(&b, "      {service: {account: %s, subject: %q}, to: %q}\n",
			AccountAdministrators, s.subject, s.as)
	}
	for _, subject := range []string{n.changes(), n.notices()} {
		fmt.Fprintf(&b, "      {stream: {account: %s, subject: %q}}\n", AccountAdministrators, subject)
	}
	b.WriteString("    ]\n    users: [\n")
	writeUsers(&b, n, users, create, func(r Role) bool { return r == RoleServer })
	b.WriteString("    ]\n  }\n}\n")
	return b.String()
}

func writeUsers(b *strings.Builder, n names, users []User, create bool, isHere func(Role) bool) {
	for _, u := range users {
		if !isHere(u.Role) {
			continue
		}
		p := PermissionsOf(u.Role, u.Name, n.bucket)
		if create && u.Role == RoleAdministrator {
			p.Publish = append(p.Publish, PermissionsOf(RoleEngine, u.Name, n.bucket).Publish...)
		}
		fmt.Fprintf(b, "      # %s %s\n      {nkey: %s, permissions: {\n", u.Role, u.Name, u.Nkey)
		fmt.Fprintf(b, "        publish: {allow: [%s]}\n", quoted(p.Publish))
		fmt.Fprintf(b, "        subscribe: {allow: [%s]}}}\n", quoted(p.Subscribe))
	}
}

func quoted(subjects []string) string {
	text := make([]string, 0, len(subjects))
	for _, subject := range subjects {
		text = append(text, fmt.Sprintf("%q", subject))
	}
	return strings.Join(text, ", ")
}

// names are the streams and subjects of a fleet.
type names struct{ bucket string }

func namesOf(bucket string) names {
	if bucket == "" {
		bucket = defaultBucket
	}
	return names{bucket}
}

const (
	directGet  = "$JS.API.DIRECT.GET."
	messageGet = "$JS.API.STREAM.MSG.GET."
	streamInfo = "$JS.API.STREAM.INFO."
)

func (n names) stream() string           { return "KV_" + n.bucket }
func (n names) subject(of string) string { return "$KV." + n.bucket + "." + of }
func (n names) changes() string          { return n.bucket + ".changes.>" }
func (n names) notices() string          { return n.bucket + ".notices" }

// info is where servers ask for the state of the stream. Every account has $JS.API for its own.
func (n names) info() string { return n.bucket + ".info" }

// getting is where servers ask for a message of a stream, see Store.get.
func (n names) getting(stream string) string { return n.bucket + ".get." + stream }

func (n names) auditStream() string          { return "AUDIT_" + n.bucket }
func (n names) audit(server string) string   { return n.bucket + ".audit." + server }
func (n names) pendingStream() string        { return "PENDING_" + n.bucket }
func (n names) pending(server string) string { return n.bucket + ".pending." + server }

// service is what servers may ask of the other account.
type service struct {
	subject, as string
	answers     string // singleton, or stream
}

func (n names) services() []service {
	own := func(subject, answers string) service { return service{subject, subject, answers} }
	return []service{
		own(directGet+n.stream(), "stream"),
		{streamInfo + n.stream(), n.info(), "singleton"},
		{messageGet + n.stream(), n.getting(n.stream()), "singleton"},
		own(n.subject("server.*"), "singleton"),
		own(n.audit("*"), "singleton"),
		own(n.pending("*"), "singleton"),
	}
}
