package sshtunnel

// socketPair returns the two ends of a connection within this process. Windows has no
// socketpair(2).
func socketPair() (here, there localEnd, err error) { return loopbackPair() }
