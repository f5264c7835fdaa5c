package fleetfile

import (
	"fmt"
	"strings"
)

// Permissions are the subjects that a member may use.
type Permissions struct{ Publish, Subscribe []string }

// PermissionsOf are those of a member with that name. Only who is listed can do anything, and only
// this: a server reads all, and writes its own report.
func PermissionsOf(role Role, name, bucket string) Permissions {
	stream := "KV_" + bucket
	p := Permissions{
		Publish: []string{"$JS.API.DIRECT.GET." + stream, "$JS.API.STREAM.INFO." + stream},
		Subscribe: []string{bucket + ".changes.>", bucket + ".notices", InboxPrefix(name) + ".>",
			InboxPrefix(name)},
	}
	switch role {
	case Server:
		p.Publish = append(p.Publish, "$KV."+bucket+".server."+name)
	case Administrator:
		for _, kind := range []string{"c.>", "u.>", "g.>", "a.>", "meta"} {
			p.Publish = append(p.Publish, "$KV."+bucket+"."+kind)
		}
		p.Publish = append(p.Publish, bucket+".notices")
	case Engine:
		p.Publish = append(p.Publish, "$JS.API.STREAM.CREATE."+stream,
			"$JS.API.STREAM.UPDATE."+stream)
	}
	return p
}

// InboxPrefix is what the inboxes of a member begin with: nobody else hears its answers.
func InboxPrefix(name string) string { return "_INBOX_" + name }

// account is the name of the account of a fleet in NATS.
const account = "ZMQAUTH"

// Accounts are the accounts of NATS for the members, in the form of the configuration of
// nats-server. create lets administrators make the bucket, where no engine of the fleet's own does.
func Accounts(m *Members, create bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %s {\n    jetstream: {max_memory: 0, max_file: %d, max_streams: %d}\n",
		account, int64(maxAccountFile), maxStreams)
	b.WriteString("    users: [\n")
	for _, known := range m.List {
		p := PermissionsOf(known.Role, known.Name, m.Bucket)
		if create && known.Role == Administrator {
			p.Publish = append(p.Publish, PermissionsOf(Engine, known.Name, m.Bucket).Publish...)
		}
		fmt.Fprintf(&b, "      # %s %s\n      {nkey: %s, permissions: {\n", known.Role, known.Name,
			known.Nkey)
		fmt.Fprintf(&b, "        publish: {allow: [%s]},\n", quoted(p.Publish))
		fmt.Fprintf(&b, "        subscribe: {allow: [%s]}}}\n", quoted(p.Subscribe))
	}
	b.WriteString("    ]\n  }\n}\n")
	return b.String()
}

// The limits of the account.
const (
	maxAccountFile = 8 << 30 // bytes
	maxStreams     = 4
)

func quoted(subjects []string) string {
	var seen []string
	for _, subject := range subjects {
		seen = append(seen, fmt.Sprintf("%q", subject))
	}
	return strings.Join(seen, ", ")
}
