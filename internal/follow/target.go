package follow

import (
	"maps"

	"github.com/zmqauth/zmqauth/internal/files"
)

// DirectoryTarget uses the content of a [Directory]. One goroutine calls its methods.
type DirectoryTarget interface {
	// Refresh reads the changed files again.
	Refresh(c Changes)
	// Links returns the names of the symbolic links in the directory whose targets count, whether
	// these exist or not, and the stamp of what was read there. It is zero where nothing was. Only
	// Refresh changes the map.
	Links() map[string]files.Stamp
	// Unfinished returns what the last Refresh could not decide and should be checked again. The
	// next call does not return it again.
	Unfinished() Changes
}

// Changes says what has changed in a directory. The zero value is nothing.
type Changes struct {
	Names map[string]struct{} // these files, or the targets of these symbolic links
	Links bool                // the target of any symbolic link
	All   bool                // any file, and the target of any symbolic link
}

// Merge adds other to c. c may take over its map.
func (c *Changes) Merge(other Changes) {
	c.Links, c.All = c.Links || other.Links, c.All || other.All
	if c.Names == nil {
		c.Names = other.Names
		return
	}
	maps.Copy(c.Names, other.Names)
}

func (c *Changes) any() bool { return len(c.Names) > 0 || c.Links || c.All }

// FileTarget uses the content of a [File]. One goroutine calls its methods: at first the caller of
// FollowFile, later that of the File.
type FileTarget interface {
	// Load puts the content of the file in force. After an error the previous content stays in
	// force until the file changes. data is erased after Load returns, because it may be secret.
	Load(data []byte, stamp files.Stamp) error
	// Gone says that the file has been missing for more than a moment.
	Gone()
	// Back says that the file is there again after Gone. Load follows.
	Back()
	// Report gets the error that keeps a changed file from being loaded: the error of Load, or the
	// reason why the file cannot be read, without the path. It is called after every attempt.
	Report(err error)
}
