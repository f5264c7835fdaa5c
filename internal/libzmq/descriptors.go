package libzmq

import "syscall"

// contextPipes is half of the descriptors that libzmq takes for a context with its first socket,
// and some more. Where it gets too few it ends the process (zmq_assert), instead of an error.
const contextPipes = 8

// CheckDescriptors tells whether a context can be made. The error is EMFILE or ENFILE: too few
// descriptors are left.
func CheckDescriptors() error {
	var taken []int
	defer func() {
		for _, fd := range taken {
			_ = syscall.Close(fd)
		}
	}()
	for range contextPipes {
		var pipe [2]int // of its own, as any descriptor that exists may be closed meanwhile
		syscall.ForkLock.RLock()
		err := syscall.Pipe(pipe[:])
		if err == nil {
			syscall.CloseOnExec(pipe[0])
			syscall.CloseOnExec(pipe[1])
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			return err
		}
		taken = append(taken, pipe[0], pipe[1])
	}
	return nil
}
