package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
	"github.com/zmqauth/zmqauth/internal/notify"
)

// The messages of the log that others wait for.
const (
	messageReady   = "zmqauth-engine: ready"
	messageBucket  = "zmqauth-engine: the bucket is there"
	messageEnds    = "zmqauth-engine: the engine ends"
	messageMembers = "zmqauth-engine: another list of members is in force"
	messageWrong   = "zmqauth-engine: the list of members is wrong, the one before stays in force"
)

const (
	startTime    = 60 * time.Second // for what is on disk to be read
	lookInterval = time.Second      // between two looks at the list of members
	createTime   = 4 * time.Second  // elections take 4 to 9 s
	reloadTime   = time.Minute      // the longest time for another list of members
)

// engine is the running server, with what it was made from.
type engine struct {
	file    *fleetfile.EngineFile
	log     *slog.Logger
	manager *notify.Manager // of the service; nil: there is none
	server  *server.Server
	read    files.Stamp // of the list of members
	bucket  string
	created bool // the bucket is there
}

// serve runs an engine until ctx ends.
func serve(ctx context.Context, path string, log *slog.Logger, manager *notify.Manager,
	reload <-chan os.Signal) error {
	file, err := fleetfile.ReadEngine(path)
	if err != nil {
		return err
	}
	e := &engine{file: file, log: log, manager: manager}
	options, err := e.options()
	if err != nil {
		return err
	}
	if e.server, err = server.NewServer(options); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	e.server.SetLoggerV2(notes{log}, false, false, false)
	e.server.Start()
	defer func() {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}()
	if !e.server.ReadyForConnections(startTime) {
		return fmt.Errorf("%s: the engine cannot serve: the log says why", path)
	}
	log.Info(messageReady, "engine", file.Name, "address", e.server.Addr().String(),
		"store", file.Store)
	manager.Ready(e.status())
	defer manager.Stopping()
	created := make(chan error, 1)
	go func() { created <- e.create(ctx) }()
	err = e.watch(ctx, reload, created)
	log.Info(messageEnds)
	return err
}

// watch follows the list of members until ctx ends.
func (e *engine) watch(ctx context.Context, reload <-chan os.Signal, created <-chan error) error {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-created:
			if err != nil && ctx.Err() == nil {
				return err
			}
			e.created = err == nil
		case <-reload:
			_ = e.manager.Reload(e.isAlive, reloadTime, e.status, e.reload) // which has logged it
		case <-look.C:
			if stamp, err := files.StampOf(e.file.Members); err == nil && stamp != e.read {
				_ = e.reload() // the same
			}
		case <-e.manager.C():
			e.manager.Beat(e.isAlive(), e.status())
		}
	}
}

// isAlive tells whether the engine keeps anything.
func (e *engine) isAlive() bool { return e.server.Running() && e.server.JetStreamEnabled() }

// status says in one line, for the service manager, how the engine is.
func (e *engine) status() string {
	status := fmt.Sprintf("connections: %d", e.server.NumClients())
	if !e.created {
		status += ", the bucket is not there yet"
	}
	return status
}

// reload puts the list of members in force. If it is wrong, the one before stays.
func (e *engine) reload() error {
	options, err := e.options()
	if err == nil {
		err = e.server.ReloadOptions(options)
	}
	if err != nil {
		e.log.Error(messageWrong, "error", err)
		return err
	}
	e.log.Info(messageMembers, "members", len(options.Nkeys))
	return nil
}

// create makes the bucket, or brings it to the settings that it has to have. With several engines
// that needs more than half of them.
func (e *engine) create(ctx context.Context) error {
	conn, err := nats.Connect("", nats.InProcessServer(e.server),
		nats.Nkey(e.file.Nkey(), e.file.Sign), nats.MaxReconnects(-1),
		nats.CustomInboxPrefix(natsstore.InboxPrefix(e.file.Name)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return fmt.Errorf("the engine does not let itself in: %w", err)
	}
	defer conn.Close()
	store, err := natsstore.New(conn, &natsstore.Config{Bucket: e.bucket})
	if err != nil {
		return err
	}
	replicas := 1 + len(e.file.Peers)
	for waiting := false; ; {
		limited, cancel := context.WithTimeout(ctx, createTime)
		err = store.Create(limited, replicas)
		cancel()
		switch {
		case err == nil:
			e.log.Info(messageBucket, "bucket", e.bucket, "replicas", replicas)
			return nil
		case ctx.Err() != nil:
			return nil
		case !waiting:
			e.log.Warn("zmqauth-engine: the bucket cannot be made yet: "+
				"more than half of the engines must be there", "error", err)
			waiting = true
		}
		select {
		case <-time.After(lookInterval):
		case <-ctx.Done():
			return nil
		}
	}
}

// notes passes the server's log on.
type notes struct{ log *slog.Logger }

const serverPrefix = "nats-server: "

func (n notes) Noticef(format string, v ...any) {
	n.log.Info(serverPrefix + fmt.Sprintf(format, v...))
}

func (n notes) Warnf(format string, v ...any) {
	n.log.Warn(serverPrefix + fmt.Sprintf(format, v...))
}

func (n notes) Errorf(format string, v ...any) {
	n.log.Error(serverPrefix + fmt.Sprintf(format, v...))
}

// Fatalf is what the server says before it would end the process.
func (n notes) Fatalf(format string, v ...any) { n.Errorf(format, v...) }

func (n notes) Debugf(string, ...any) {}
func (n notes) Tracef(string, ...any) {}
