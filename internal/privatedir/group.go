package privatedir

import (
	"os/user"
	"strconv"
)

// LookupGroup returns the id of a group by its name or number.
func LookupGroup(name string) (*int, error) {
	group, err := user.LookupGroup(name)
	if err == nil {
		name = group.Gid
	}
	id, numberErr := strconv.ParseUint(name, 10, 31)
	if numberErr != nil {
		return nil, err
	}
	gid := int(id)
	return &gid, nil
}
