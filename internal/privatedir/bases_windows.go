package privatedir

// otherBases returns nothing: the temporary directory is the user's own.
func otherBases() []string { return nil }
