package follow

import (
	"maps"

	"github.com/zmqauth/zmqauth/internal/files"
)

// DirectoryTarget is what keeps up with a [Directory]. Its methods are called by one goroutine.
type DirectoryTarget interface {
	// Refresh takes over what has changed: the files named, those behind symbolic links, or whatever
	// differs.
	Refresh(c Changes)
	// LinkedDirectories names, in order, the directories that the directory's symbolic links lead
	// over. They need not exist.
	LinkedDirectories() []string
	// Unfinished takes away what could not be told at the last Refresh and is to be looked at again.
	Unfinished() Changes
}

// Changes is what is known to have happened below a directory. The zero value is nothing.
type Changes struct {
	Names map[string]struct{} // of its files
	Links bool                // something that its symbolic links lead over
	All   bool                // anything
}

// Merge adds other changes to c, which may take over their map.
func (c *Changes) Merge(other Changes) {
	c.Links, c.All = c.Links || other.Links, c.All || other.All
	if c.Names == nil {
		c.Names = other.Names
		return
	}
	maps.Copy(c.Names, other.Names)
}

func (c *Changes) any() bool { return len(c.Names) > 0 || c.Links || c.All }

// FileTarget is what keeps up with a [File]. Its methods are called by one goroutine: that of
// FollowFile, and then that of the File.
type FileTarget interface {
	// Load puts in force what the file holds, or says why it must not: what was in force stays then,
	// until the file changes. data is cleared afterwards, because it may hold secrets.
	Load(data []byte, stamp files.Stamp) error
	// Gone is called once the file has been missing for more than a moment.
	Gone()
	// Back is called where a file that was gone is there again, before it is loaded.
	Back()
	// Report is called with what keeps a file that has changed from being loaded: the error of Load,
	// or without the path why the file cannot be read. It comes each time that this is tried.
	Report(err error)
}
