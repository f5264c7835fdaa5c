package fleetfile

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Members is the list of who may connect to the engines. It has no secrets.
type Members struct {
	Fleet  string
	Bucket string
	List   []Known
}

// Known is a member as the others know it.
type Known struct {
	Name   string
	Role   natsstore.Role
	Nkey   string            // the public one
	Signer ed25519.PublicKey // of an administrator
}

// ReadMembers reads the list. The error joins one for each fault, with its line.
func ReadMembers(path string) (*Members, error) {
	root, _, err := readFile(path, false)
	if err != nil {
		return nil, err
	}
	m := &Members{Bucket: DefaultBucket}
	var top, members []*zpl.Node
	for _, n := range root.Children {
		if n.Name == "member" {
			members = append(members, n)
		} else {
			top = append(top, n)
		}
	}
	faults := []error{readEntries(path, 0, top, []entry{
		{name: "fleet", set: text(&m.Fleet, CheckName), required: true},
		{name: "bucket", set: text(&m.Bucket, CheckName)},
	})}
	for _, n := range members {
		known, err := readKnown(path, n)
		if err == nil {
			err = m.add(known)
			if err != nil {
				err = fmt.Errorf("%s:%d: %w", path, n.Line, err)
			}
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return m, nil
}

func readKnown(path string, n *zpl.Node) (known Known, err error) {
	known.Name = n.Value
	if err := CheckName(known.Name); err != nil {
		return known, fmt.Errorf("%s:%d: %w", path, n.Line, err)
	}
	var role, signer string
	err = readEntries(path, n.Line, n.Children, []entry{
		{name: "role", required: true, set: text(&role, func(value string) (err error) {
			known.Role, err = parseRole(value)
			return err
		})},
		{name: "nkey", set: text(&known.Nkey, checkNkey), required: true},
		{name: "signer", set: text(&signer, func(value string) (err error) {
			known.Signer, err = parseSigner(value)
			return err
		})},
	})
	if err == nil && (known.Signer != nil) != (known.Role == natsstore.RoleAdministrator) {
		err = fmt.Errorf("%s:%d: an administrator has a signer, and nobody else", path, n.Line)
	}
	return known, err
}

// add adds a member whose name and nkey nobody has.
func (m *Members) add(known Known) error {
	for _, other := range m.List {
		switch {
		case other.Name == known.Name:
			return fmt.Errorf("there is a member %s already", known.Name)
		case other.Nkey == known.Nkey:
			return fmt.Errorf("%s has the nkey of %s", known.Name, other.Name)
		}
	}
	m.List = append(m.List, known)
	return nil
}

// Signers are the keys of the administrators.
func (m *Members) Signers() (keys []ed25519.PublicKey) {
	for _, known := range m.List {
		if known.Signer != nil {
			keys = append(keys, known.Signer)
		}
	}
	return keys
}

const membersComment = "Who may connect to the engines of the fleet, and as what. " +
	"Each engine has a copy.\nThere is nothing secret in it.\n"

func (m *Members) tree() *zpl.Node {
	root := new(zpl.Node)
	root.Add("fleet", m.Fleet)
	if m.Bucket != DefaultBucket {
		root.Add("bucket", m.Bucket)
	}
	for _, known := range m.List {
		n := root.Add("member", known.Name)
		n.Add("role", string(known.Role))
		n.Add("nkey", known.Nkey)
		if known.Signer != nil {
			n.Add("signer", encodeBinary(known.Signer))
		}
	}
	return root
}

// replaceMembers changes the list in one step.
func replaceMembers(path string, change func(*Members) error) error {
	m, err := ReadMembers(path)
	if err != nil {
		return err
	}
	stamp, err := files.StampOf(path)
	if err == nil {
		err = change(m)
	}
	if err != nil {
		return err
	}
	body, err := encode(membersComment, m.tree())
	if err == nil {
		err = files.Replace(path, stamp, body)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}

// RemoveMember takes a member out of the list.
func RemoveMember(path, name string) error {
	return replaceMembers(path, func(m *Members) error {
		before := len(m.List)
		m.List = slices.DeleteFunc(m.List, func(k Known) bool { return k.Name == name })
		if len(m.List) == before {
			return fmt.Errorf("%s: there is no member %s", path, name)
		}
		return nil
	})
}

// Accounts are the accounts of NATS for the members, in the form of the configuration of
// nats-server. create lets administrators make the streams, where no engine of the fleet does.
func (m *Members) Accounts(create bool) string {
	var users []natsstore.User
	for _, known := range m.List {
		users = append(users, natsstore.User{Name: known.Name, Role: known.Role, Nkey: known.Nkey})
	}
	return natsstore.Accounts(m.Bucket, users, create)
}
