package files

import "os"

// Below returns the path of a name in a directory. Unlike filepath.Join it leaves the path of the
// directory as it is. Where that has a .. behind a symbolic link, the system takes it for the
// directory above the one that the link leads to, and Join for the one that the link is in.
func Below(dir, name string) string {
	if dir != "" && os.IsPathSeparator(dir[len(dir)-1]) {
		return dir + name
	}
	return dir + string(os.PathSeparator) + name
}
