package zmtp

import (
	"bufio"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// Curve has the keys of the mechanism CURVE. Keys have 32 raw bytes.
type Curve struct {
	Public, Secret [32]byte                 // this end's
	Server         [32]byte                 // for Client: the server's public key
	Accept         func(key [32]byte) error // for Server: whether a client's key is accepted
}

// The parts of the handshake (RFC 26), in bytes.
const (
	keySize     = 32
	shortNonce  = 8
	longNonce   = 16
	cookieSize  = 96
	vouchSize   = 2*keySize + box.Overhead
	helloPad    = 72
	signedZeros = 64

	hello    = "\x05HELLO"
	welcome  = "\x07WELCOME"
	initiate = "\x08INITIATE"
	ready    = "\x05READY"
	message  = "\x07MESSAGE"

	// sealedExtra is how much longer a sealed frame is: the name, the nonce, the flags, the code.
	sealedExtra = len(message) + shortNonce + 1 + box.Overhead
)

var errSealed = errors.New("zmtp: a command that is not sealed with the right keys")

// nonceOf is a nonce of 24 bytes: a prefix of 16 and a number.
func nonceOf(prefix string, number uint64) *[24]byte {
	var nonce [24]byte
	binary.BigEndian.PutUint64(nonce[copy(nonce[:], prefix):], number)
	return &nonce
}

// longNonceOf is a nonce of 24 bytes: a prefix of 8 and 16 random bytes.
func longNonceOf(prefix string, random []byte) *[24]byte {
	var nonce [24]byte
	copy(nonce[copy(nonce[:], prefix):], random)
	return &nonce
}

// cipher seals and opens the messages of a connection. Each half has a goroutine at a time.
type cipher struct {
	key            [32]byte
	ours, theirs   string // the prefixes of the nonces
	sent, received uint64 // the numbers of the last nonces
	room           []byte
}

// Flags of sealed frames. libzmq gives commands bit 1.
const sealedCommand = 2

// seal appends the frame of a sealed frame to dst.
func (s *cipher) seal(dst []byte, flags byte, body []byte) []byte {
	inner := flags & flagMore
	if flags&flagCommand != 0 {
		inner = sealedCommand
	}
	s.sent++
	plain := append(append(s.room[:0], inner), body...)
	out := binary.BigEndian.AppendUint64([]byte(message), s.sent)
	out = box.SealAfterPrecomputation(out, plain, nonceOf(s.ours, s.sent), &s.key)
	clear(plain)
	if s.room = plain; cap(plain) > keptBuffer {
		s.room = nil
	}
	return appendFrame(dst, 0, out)
}

// open returns the content of a sealed frame. A nonce is never used twice: who sends a frame again
// is cut off.
func (s *cipher) open(frame []byte) (body []byte, flags byte, err error) {
	if len(frame) < sealedExtra || string(frame[:len(message)]) != message {
		return nil, 0, errSealed
	}
	number := binary.BigEndian.Uint64(frame[len(message):])
	if number <= s.received {
		return nil, 0, errSealed
	}
	plain, ok := box.OpenAfterPrecomputation(nil, frame[len(message)+shortNonce:],
		nonceOf(s.theirs, number), &s.key)
	if !ok {
		return nil, 0, errSealed
	}
	s.received = number
	flags = plain[0] & flagMore
	if plain[0]&sealedCommand != 0 {
		flags |= flagCommand
	}
	return plain[1:], flags, nil
}

// shakeCurveServer is the handshake of a server. It returns the client's properties.
func (c *Conn) shakeCurveServer() ([]byte, error) {
	curve := c.cfg.Curve
	client, err := c.readHello()
	if err != nil {
		return nil, err
	}
	short, shortSecret, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	// RFC 26 lets a server forget the client until the cookie comes back. This one remembers it, and
	// the cookie is only compared.
	random := make([]byte, longNonce+cookieSize)
	_, _ = rand.Read(random) // never fails
	nonce, cookie := random[:longNonce], random[longNonce:]
	body := append([]byte(welcome), nonce...)
	body = box.Seal(body, append(short[:], cookie...), longNonceOf("WELCOME-", nonce), &client,
		&curve.Secret)
	if err := c.writeCommand(body); err != nil {
		return nil, err
	}
	s := &cipher{ours: "CurveZMQMESSAGES", theirs: "CurveZMQMESSAGEC"}
	box.Precompute(&s.key, &client, shortSecret)
	properties, err := c.readInitiate(s, cookie, client, *shortSecret)
	if err != nil {
		return nil, err
	}
	s.sent++
	answer := binary.BigEndian.AppendUint64([]byte(ready), s.sent)
	answer = box.SealAfterPrecomputation(answer, c.properties(),
		nonceOf("CurveZMQREADY---", s.sent), &s.key)
	if err := c.writeCommand(answer); err != nil {
		return nil, err
	}
	c.cipher = s
	return properties, nil
}

// readHello reads the command HELLO, and returns the client's key of this connection.
func (c *Conn) readHello() (client [32]byte, err error) {
	body, err := c.readCommand(hello)
	if err != nil {
		return client, err
	}
	const size = 2 + helloPad + keySize + shortNonce + signedZeros + box.Overhead
	if len(body) != size || body[0] != 1 || body[1] != 0 {
		return client, errProtocol
	}
	body = body[2+helloPad:]
	copy(client[:], body)
	number := binary.BigEndian.Uint64(body[keySize:])
	zeros, ok := box.Open(nil, body[keySize+shortNonce:], nonceOf("CurveZMQHELLO---", number),
		&client, &c.cfg.Curve.Secret)
	if !ok || subtle.ConstantTimeCompare(zeros, make([]byte, signedZeros)) != 1 {
		return client, errSealed
	}
	return client, nil
}

// readInitiate reads the command INITIATE. It checks that the client has the secret key of a public
// key that is accepted, and returns its properties.
func (c *Conn) readInitiate(
	s *cipher, cookie []byte, client, shortSecret [32]byte,
) ([]byte, error) {
	body, err := c.readCommand(initiate)
	if err != nil {
		return nil, err
	}
	const head = cookieSize + shortNonce
	if len(body) < head || subtle.ConstantTimeCompare(body[:cookieSize], cookie) != 1 {
		return nil, errSealed
	}
	number := binary.BigEndian.Uint64(body[cookieSize:])
	plain, ok := box.OpenAfterPrecomputation(nil, body[head:],
		nonceOf("CurveZMQINITIATE", number), &s.key)
	if !ok || len(plain) < keySize+longNonce+vouchSize {
		return nil, errSealed
	}
	s.received = number
	var key [32]byte
	copy(key[:], plain)
	random, rest := plain[keySize:keySize+longNonce], plain[keySize+longNonce:]
	vouch, ok := box.Open(nil, rest[:vouchSize], longNonceOf("VOUCH---", random), &key, &shortSecret)
	if !ok {
		return nil, errSealed
	}
	want := append(client[:], c.cfg.Curve.Public[:]...)
	if subtle.ConstantTimeCompare(vouch, want) != 1 {
		return nil, errSealed
	}
	if err := c.cfg.Curve.Accept(key); err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	return rest[vouchSize:], nil
}

// shakeCurveClient is the handshake of a client. It returns the server's properties.
func (c *Conn) shakeCurveClient() ([]byte, error) {
	short, shortSecret, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &cipher{ours: "CurveZMQMESSAGEC", theirs: "CurveZMQMESSAGES", sent: 1}
	server, cookie, err := c.meet(short, shortSecret, s.sent)
	if err != nil {
		return nil, err
	}
	box.Precompute(&s.key, &server, shortSecret)
	if err := c.writeInitiate(s, cookie, *short, server); err != nil {
		return nil, err
	}
	answer, err := c.readCommand(ready)
	if err != nil {
		return nil, err
	}
	if len(answer) < shortNonce {
		return nil, errSealed
	}
	s.received = binary.BigEndian.Uint64(answer)
	properties, ok := box.OpenAfterPrecomputation(nil, answer[shortNonce:],
		nonceOf("CurveZMQREADY---", s.received), &s.key)
	if !ok {
		return nil, errSealed
	}
	c.cipher = s
	return properties, nil
}

// meet writes the command HELLO, and reads WELCOME: the server's key of this connection, and the
// cookie.
func (c *Conn) meet(short, shortSecret *[32]byte, number uint64) (
	server [32]byte, cookie []byte, err error,
) {
	body := append([]byte(hello+"\x01\x00"), make([]byte, helloPad)...)
	body = binary.BigEndian.AppendUint64(append(body, short[:]...), number)
	body = box.Seal(body, make([]byte, signedZeros), nonceOf("CurveZMQHELLO---", number),
		&c.cfg.Curve.Server, shortSecret)
	if err := c.writeCommand(body); err != nil {
		return server, nil, err
	}
	return c.readWelcome(shortSecret)
}

// CheckServerKey tells whether the server at the other end of nc has the secret key that belongs to
// the public key server. It makes the first half of a CURVE handshake, in which the client shows
// nothing, so that the server decides nothing about it. It closes nc. A server with another key
// closes the connection, and the error is that.
func CheckServerKey(nc net.Conn, server [32]byte, limit time.Duration) error {
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	c := &Conn{nc: nc, cfg: Config{Curve: &Curve{Server: server}}, reader: bufio.NewReader(nc)}
	if err := c.greet(false); err != nil {
		return err
	}
	short, shortSecret, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	_, _, err = c.meet(short, shortSecret, 1)
	return err
}

// readWelcome reads the command WELCOME: the server's key of this connection, and the cookie.
func (c *Conn) readWelcome(shortSecret *[32]byte) (server [32]byte, cookie []byte, err error) {
	body, err := c.readCommand(welcome)
	if err != nil {
		return server, nil, err
	}
	if len(body) != longNonce+keySize+cookieSize+box.Overhead {
		return server, nil, errProtocol
	}
	plain, ok := box.Open(nil, body[longNonce:], longNonceOf("WELCOME-", body[:longNonce]),
		&c.cfg.Curve.Server, shortSecret)
	if !ok {
		return server, nil, errSealed
	}
	copy(server[:], plain)
	return server, plain[keySize:], nil
}

func (c *Conn) writeInitiate(s *cipher, cookie []byte, short, server [32]byte) error {
	curve := c.cfg.Curve
	random := make([]byte, longNonce)
	_, _ = rand.Read(random) // never fails
	plain := append(append([]byte(nil), curve.Public[:]...), random...)
	plain = box.Seal(plain, append(short[:], curve.Server[:]...), longNonceOf("VOUCH---", random),
		&server, &curve.Secret)
	plain = append(plain, c.properties()...)
	s.sent++
	body := binary.BigEndian.AppendUint64(append([]byte(initiate), cookie...), s.sent)
	body = box.SealAfterPrecomputation(body, plain, nonceOf("CurveZMQINITIATE", s.sent), &s.key)
	return c.writeCommand(body)
}
