package follow

import (
	"maps"

	"github.com/zmqauth/zmqauth/internal/files"
)

// DirectoryTarget uses the content of a [Directory]. One goroutine calls its methods.
type DirectoryTarget interface {
	// Refresh reads the changed files again.
	Refresh(c Changes)
	// LinkedDirectories returns the directories on the way to the targets of symbolic links in the
	// directory, sorted. They need not exist.
	LinkedDirectories() []string
	// Unfinished returns what the last Refresh could not decide and should be checked again. The
	// next call does not return it again.
	Unfinished() Changes
}

// Changes says what has changed in a directory. The zero value is nothing.
type Changes struct {
	Names map[string]struct{} // these files
	Links bool                // the target of a symbolic link, or a directory on the way to it
	All   bool                // any file may have changed
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
