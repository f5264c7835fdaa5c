package files

// CheckDirectory does nothing, like Check.
func CheckDirectory(string) error { return nil }
