package zaptest_test

import (
	"bufio"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zaptest"
)

var update = flag.Bool("update", false, "write testdata/peers.md")

//go:embed testdata/czmq.c
var czmqSource string

// peer is a handler in a process of its own that takes requests at an endpoint.
type peer struct {
	command  []string // and the endpoint, and what files has made
	endpoint string
	version  string // as the process says it
	process  *exec.Cmd
}

func newPeer(t *testing.T, command ...string) *peer {
	t.Helper()
	directory, err := os.MkdirTemp("", "zaptest") // the path of a Unix socket must be short
	must.OK(t, err)
	p := &peer{command: command, endpoint: "ipc://" + filepath.Join(directory, "zap")}
	t.Cleanup(func() {
		p.stop()
		must.OK(t, os.RemoveAll(directory))
	})
	return p
}

func (p *peer) stop() {
	if p.process != nil {
		_ = p.process.Process.Kill() // it may have ended by itself
		_ = p.process.Wait()
		p.process = nil
	}
}

// start starts the handler, after an end of the one before, and returns when it is ready.
func (p *peer) start(args ...string) error {
	p.stop()
	process := exec.Command(p.command[0], append(append(p.command[1:len(p.command):len(p.command)], p.endpoint), args...)...)
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if _, err := process.StdinPipe(); err != nil { // which ends with this process, and the handler with it
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	p.process = process
	line, err := bufio.NewReader(out).ReadString('\n')
	version, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ready {
		return fmt.Errorf("%s says %q: %w", p.command[0], line, err)
	}
	p.version = version
	return nil
}

// column is a peer under test.
type column struct {
	peer     *peer
	name     string // "": what the process calls itself
	world    zaptest.Handler
	outcomes outcomes
	err      error // which ended the test
}

// fill holds the handler against the suite, and what does not apply to it once more with nothing
// set up.
func (c *column) fill(t *testing.T, ctx *zmq4.Context, directory string, timeout time.Duration) error {
	h := c.world
	h.Endpoint, h.Timeout = c.peer.endpoint, timeout // which passes whenever the handler ends
	h.Restart = func() error { return c.peer.start(directory, h.RefusedAddress) }
	if err := h.Restart(); err != nil {
		return err
	}
	c.outcomes = make(outcomes)
	c.outcomes.add(t, zaptest.Check(ctx, h))
	if err := c.peer.start(); err != nil {
		return err
	}
	c.outcomes.add(t, zaptest.Check(ctx, zaptest.Handler{Endpoint: h.Endpoint, Timeout: h.Timeout, Null: true}))
	return nil
}

// outcomes are those of the checks of a handler, by name.
type outcomes map[string]string

const (
	passes       = "yes"
	fails        = "**no**"
	ends         = "**ends**" // the handler, or it hangs
	doesNotApply = "-"
)

// add adds results where there is none that says more.
func (o outcomes) add(t *testing.T, results []zaptest.Result) {
	for _, r := range results {
		if o[r.Name] != "" && o[r.Name] != doesNotApply {
			continue
		}
		t.Log(r)
		switch {
		case errors.Is(r.Err, zaptest.ErrNoAnswer):
			o[r.Name] = ends
		case r.Failed():
			o[r.Name] = fails
		case r.Passed():
			o[r.Name] = passes
		default:
			o[r.Name] = doesNotApply
		}
	}
}

// TestPeers holds other handlers against the suite. What they fail is on record: a line that goes,
// or that comes, is news about the peer or a fault of the suite.
func TestPeers(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must.OK(t, err)
	zmq4Version, err := exec.Command("go", "list", "-m", "-f", "zmq4 {{slice .Version 1}}", "github.com/pebbe/zmq4").Output()
	must.OK(t, err)
	h := world()
	directory := files(t, &h)
	withMetadata := h
	withMetadata.Metadata = map[string]string{"Role": "operator"}
	columns := []column{
		{peer: newPeer(t, self, asZmq4), world: withMetadata, name: strings.TrimSpace(string(zmq4Version))},
		{peer: newPeer(t, testpeer.CompileCzmq(t, czmqSource)), world: h},
		{peer: newPeer(t, testpeer.Python(t, "zmq", "python3-zmq"), "testdata/pyzmq.py"), world: h},
	}
	ctx := testzmq.NewContext(t)
	fill := func(timeout time.Duration) {
		var all sync.WaitGroup
		for i := range columns {
			all.Go(func() { columns[i].err = columns[i].fill(t, ctx, directory, timeout) })
		}
		all.Wait()
		for i := range columns {
			must.OK(t, columns[i].err)
			if columns[i].name == "" {
				columns[i].name = columns[i].peer.version
			}
		}
	}
	want, err := os.ReadFile("testdata/peers.md")
	must.OK(t, err)
	fill(2 * time.Second)
	if table(columns) != string(want) {
		fill(10 * time.Second) // a busy machine may keep a handler that lives from answering in time
	}
	got := table(columns)
	if *update {
		must.OK(t, os.WriteFile("testdata/peers.md", []byte(got), 0o644))
		return
	}
	onRecord := recorded(string(want))
	for check, outcomes := range recorded(got) {
		for peer, outcome := range outcomes {
			switch before, known := onRecord[check][peer], onRecord["check"][peer] != ""; {
			case !known && check == "check":
				t.Logf("nothing is on record of %s: go test -run TestPeers -update ./zaptest", peer)
			case onRecord[check] == nil && outcome != fails && outcome != ends: // a line for another peer's sake
			case known && before != outcome:
				t.Errorf("%s, %s: %q, on record is %q", check, peer, outcome, before)
			}
		}
	}
	for check, outcomes := range onRecord {
		if recorded(got)[check] == nil && slices.ContainsFunc(columns, func(c column) bool {
			return outcomes[c.name] == fails || outcomes[c.name] == ends
		}) {
			t.Errorf("%s: no handler fails it any more", check)
		}
	}
}

// recorded takes a table apart: by the name of the check, "check" for the header, and by the name
// of the peer.
func recorded(table string) map[string]map[string]string {
	record := make(map[string]map[string]string)
	var names []string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if names == nil {
			names = cells
		}
		record[cells[0]] = make(map[string]string)
		for i, cell := range cells[min(4, len(cells)):] { // behind what is the same for all
			record[cells[0]][names[4+i]] = cell
		}
	}
	return record
}

// table is in Markdown, with a line for each check that a handler fails.
func table(columns []column) string {
	var b strings.Builder
	b.WriteString("| check | required by | what is required | zmqauth |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|---|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, r := range zaptest.Requirements() {
		line := fmt.Sprintf("| `%s` | %s | %s | yes |", r.Name, r.Section, r.Text)
		failed := false
		for _, c := range columns {
			outcome := c.outcomes[r.Name]
			line += " " + outcome + " |"
			failed = failed || outcome == fails || outcome == ends
		}
		if failed {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
