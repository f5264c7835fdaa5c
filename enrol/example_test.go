package enrol_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
)

// A client that nobody knows waits until its key has been let in.
func Example() {
	desk := enrol.New(enrol.Options{})
	desk.Open("orders", time.Now().Add(10*time.Minute))
	auth, err := zmqauth.New(nil, &zmqauth.Config{
		UnknownKey: desk.UnknownKey,
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	var clients zmqauth.Credentials
	if err := auth.ConfigureCredentials("orders", &clients); err != nil {
		fmt.Println(err)
		return
	}
	_, secret, _ := zmqauth.GenerateKeyPair()
	key := secret.Public()
	request := [][]byte{[]byte("1.0"), []byte("1"), []byte("orders"), []byte("192.0.2.1"), nil,
		[]byte("CURVE"), key[:]}
	fmt.Println(string(auth.HandleZAPMessage(context.Background(), request)[2]))

	waiting, err := desk.Find(enrol.Fingerprint(key), "") // the fingerprint that its owner tells
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(waiting.Domain, waiting.Address, waiting.Tries)
	if err := clients.SetKey(waiting.Key, zmqauth.Entry{}); err != nil {
		fmt.Println(err)
		return
	}
	desk.Remove(waiting)
	fmt.Println(string(auth.HandleZAPMessage(context.Background(), request)[2]))
	// Output:
	// 300
	// orders 192.0.2.1 1
	// 200
}
