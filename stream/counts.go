package stream

// Handshakes returns how many clients are not authenticated yet: those in the handshake, and those
// that wait for it. After the end of Serve, and before Shutdown, they can only become fewer.
func (s *Server) Handshakes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting.size + s.pending.count
}
