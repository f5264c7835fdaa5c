package privatedir

// otherBases are none: the temporary directory is the user's own.
func otherBases() []string { return nil }
