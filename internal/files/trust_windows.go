package files

// Check does nothing. An access control list says who may write a file, and the system's
// administrator is responsible for it.
func (s Stamp) Check(string) error { return nil }

// CheckSecret does nothing, like Check.
func (s Stamp) CheckSecret(string) error { return nil }
