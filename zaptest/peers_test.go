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

// peer is a handler of another system. It runs in a process of its own and takes requests at an
// endpoint.
type peer struct {
	command  []string // without its last arguments: the endpoint, and those of start
	endpoint string
	version  string // as the process prints it
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
		_ = p.process.Process.Kill() // an error means that it has ended by itself
		_ = p.process.Wait()
		p.process = nil
	}
}

// start starts the handler, after stopping the previous one, and returns when it is ready.
func (p *peer) start(args ...string) error {
	p.stop()
	args = slices.Concat(p.command[1:], []string{p.endpoint}, args)
	process := exec.Command(p.command[0], args...)
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	// The handler ends with its standard input, which ends with this process.
	if _, err := process.StdinPipe(); err != nil {
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

// column is a peer under test and its column of the table.
type column struct {
	peer     *peer
	name     string // "": what the process calls itself
	handler  zaptest.Handler
	outcomes outcomes
	err      error // what ended the test; nil: nothing
}

// fill runs the suite on the handler. It runs the checks that do not apply a second time, on a
// handler that has no users and no keys.
func (c *column) fill(
	t *testing.T, ctx *zmq4.Context, directory string, timeout time.Duration,
) error {
	h := c.handler
	h.Endpoint, h.Timeout = c.peer.endpoint, timeout // the test waits that long after each end
	h.Restart = func() error { return c.peer.start(directory, h.RefusedAddress) }
	if err := h.Restart(); err != nil {
		return err
	}
	c.outcomes = make(outcomes)
	c.outcomes.add(t, zaptest.Check(ctx, h))
	if err := c.peer.start(); err != nil {
		return err
	}
	bare := zaptest.Handler{Endpoint: h.Endpoint, Timeout: h.Timeout, Null: true}
	c.outcomes.add(t, zaptest.Check(ctx, bare))
	return nil
}

// outcomes maps the names of checks to their outcomes for one handler.
type outcomes map[string]string

const (
	passes       = "yes"
	fails        = "**no**"
	ends         = "**ends**" // the handler ends or hangs
	doesNotApply = "-"
)

// add adds the results of checks that have no outcome yet or did not apply.
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

// TestPeers runs the suite on handlers of other systems. The checks that they fail are on record in
// testdata/peers.md. A difference means that the peer has changed or that the suite has a fault.
func TestPeers(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must.OK(t, err)
	list := []string{"list", "-m", "-f", "zmq4 {{slice .Version 1}}", "github.com/pebbe/zmq4"}
	zmq4Version, err := exec.Command("go", list...).Output()
	must.OK(t, err)
	h := testHandler()
	directory := files(t, &h)
	withMetadata := h
	withMetadata.Metadata = map[string]string{"Role": "operator"}
	czmq := testpeer.CompileCzmq(t, czmqSource)
	python := testpeer.Python(t, "zmq", "python3-zmq")
	columns := []column{
		{
			peer:    newPeer(t, self, asZmq4),
			handler: withMetadata,
			name:    strings.TrimSpace(string(zmq4Version)),
		},
		{peer: newPeer(t, czmq), handler: h},
		{peer: newPeer(t, python, "testdata/pyzmq.py"), handler: h},
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
		fill(10 * time.Second) // on a busy machine a live handler may be too slow for the short limit
	}
	got := table(columns)
	if *update {
		must.OK(t, os.WriteFile("testdata/peers.md", []byte(got), 0o644))
		return
	}
	compare(t, recorded(string(want)), recorded(got), columns)
}

// compare fails the test if the outcomes differ from those on record.
func compare(t *testing.T, onRecord, got map[string]map[string]string, columns []column) {
	t.Helper()
	for check, outcomes := range got {
		for peer, outcome := range outcomes {
			switch before, known := onRecord[check][peer], onRecord["check"][peer] != ""; {
			case !known && check == "check":
				t.Logf("nothing is on record of %s: go test -run TestPeers -update ./zaptest", peer)
			case onRecord[check] == nil && outcome != fails && outcome != ends:
				// The line is there because another peer fails the check.
			case known && before != outcome:
				t.Errorf("%s, %s: %q, on record is %q", check, peer, outcome, before)
			}
		}
	}
	for check, outcomes := range onRecord {
		failed := slices.ContainsFunc(columns, func(c column) bool {
			return outcomes[c.name] == fails || outcomes[c.name] == ends
		})
		if failed && got[check] == nil {
			t.Errorf("%s: no handler fails it any more", check)
		}
	}
}

// recorded parses a table. It returns the outcomes by the name of the check and the name of the
// peer. The header is the check "check".
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
		for i, cell := range cells[min(4, len(cells)):] { // the first four are the same for all peers
			record[cells[0]][names[4+i]] = cell
		}
	}
	return record
}

// table returns a Markdown table with a line for each check that a handler fails.
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
