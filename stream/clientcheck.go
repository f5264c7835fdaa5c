package stream

// Check reads the files, and returns an error if they or the other fields cannot be used for a
// server at address, host:port. It connects to nobody.
func (c TLSClient) Check(address string) error {
	_, address, err := endpoint("tcp", address)
	if err != nil {
		return err
	}
	_, err = c.config(address)
	return err
}
