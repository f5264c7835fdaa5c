package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// walkTool puts the proxy before a service, and asks what its policy decides.
func walkTool(t *testing.T, r *reader) {
	w := newWalk(t, "5555", "5556", "6666")
	inFolder := func(text string) string { return strings.ReplaceAll(text, "/tmp/", w.dir+"/") }
	const password = "correct horse"
	expect(t, w.run(r.commands()), `(?m)^zmqauth +v`, `(?m)^libzmq +4\.`) // the tool
	w.run(r.commands())
	w.write(r.file("go"))
	w.run(r.commands(), password) // keys and a user
	expect(t, w.run(r.commands(), password), `1 +bob +argon2id +m=19456,t=2,p=1\n`, `(?m)^right$`)
	name, policy := r.file("zpl")
	w.write(name, inFolder(policy))
	checked := w.run(r.commands())
	expect(t, checked, `zmqauth\.zpl: good, domains: 3, frontends: 2\n`,
		`rule +zmqauth\.zpl:4: curve keys/clients\n`)
	w.start(r.commands())
	w.awaitPort("6666")
	proxy := w.start(r.commands())
	w.awaitPort("5555")
	w.awaitPort("5556")
	w.prints(r.commands(), "") // health
	w.prints(r.commands(), r.output(), password)
	w.refused(r.commands()) // eve
	w.prints(r.commands(), r.output())
	w.write(readmeClient(t))
	w.prints(r.commands(), r.output())
	expect(t, proxy.log.String(), `"zmqauth: the proxy is ready" frontends=2`)
	proxy.signal(syscall.SIGTERM)
	testpeer.Eventually(t, "the proxy ends, and with it its frontends", func() bool {
		log := proxy.log.String()
		return strings.Contains(log, `"zmqauth: the proxy ends"`) &&
			strings.Count(log, `"zmqauth: a frontend has ended"`) == 2
	})
	walkFingerprints(w, r)
	out, said, err := w.try(r.commands())
	if want := r.output(); err == nil || out != want {
		t.Errorf("asked about an address: %v\n%s%s\nwant\n%s", err, out, said, want)
	}
	w.write(r.file("zpl"))
	expect(t, w.run(r.commands()), `service\.zpl: good, domains: 2`)
	w.write(r.file("zpl"))
	w.prints(r.commands(), r.output())
	r.notRun("it needs an engine and base images; cmd/zmqauth runs the build itself")
}

// walkFingerprints computes a fingerprint twice: with the tool and without it.
func walkFingerprints(w *walk, r *reader) {
	w.t.Helper()
	shown := w.run(r.commands())
	expect(w.t, shown, `(?m)^fingerprint +SHA256:\S{43}$`, `"fingerprint": "SHA256:`)
	python := testpeer.Python(w.t, "zmq", "python3-zmq")
	if filepath.IsAbs(python) { // the first python3 may have no pyzmq
		env := w.env
		defer func() { w.env = env }()
		w.env = append(slices.Clone(env), "PATH="+filepath.Join(w.dir, "../bin")+":"+
			filepath.Dir(python)+":"+os.Getenv("PATH"))
	}
	computed := strings.TrimSpace(w.run(r.commands()))
	if len(computed) != len("SHA256:")+43 || strings.Count(shown, computed) != 2 {
		w.t.Errorf("%q is not twice in\n%s", computed, shown)
	}
}

// readmeClient is the client of the README, to be written under the name that it has there.
func readmeClient(t *testing.T) (name, text string) {
	t.Helper()
	for _, b := range readPage(t, "README.md").blocks {
		if b.file() == "client/main.go" {
			return b.file(), b.text
		}
	}
	t.Fatal("the README has no client/main.go")
	return "", ""
}

// expect wants a text to match each of the patterns.
func expect(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("no %s in\n%s", pattern, text)
		}
	}
}

var (
	commandLine = regexp.MustCompile("`zmqauth ([a-z][a-z-]*)([^`]*)`")
	flagName    = regexp.MustCompile(`--[a-z-]+`)
)

// TestToolCommands: the page has all commands, and neither a command nor a flag that does not
// exist.
func TestToolCommands(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "zmqauth")
	build := exec.Command("go", "build", "-o", tool, "./cmd/zmqauth")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	help := func(args ...string) string {
		command := exec.Command(tool, append(args, "--help")...)
		command.Env = append(os.Environ(), "COLUMNS=80")
		out, err := command.Output()
		must.OK(t, err)
		return string(out)
	}
	commands := make(map[string]string)
	_, list, _ := strings.Cut(help(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" {
			commands[name] = help(name)
		}
	}
	section := readPage(t, "docs/tool.md").section(t, "## Commands")
	for name := range commands {
		if !strings.Contains(section, "| `zmqauth "+name+" ") {
			t.Errorf("the page has no %q", name)
		}
	}
	for _, found := range commandLine.FindAllStringSubmatch(section, -1) {
		text, exists := commands[found[1]]
		if !exists {
			t.Errorf("there is no command %q", found[1])
		}
		for _, name := range flagName.FindAllString(found[2], -1) {
			if !strings.Contains(text, name+" ") {
				t.Errorf("%s has no flag %s", found[1], name)
			}
		}
	}
}

var (
	knownEntries = regexp.MustCompile(
		`unknown name "nonsense" below a (domain|frontend|service|program): (.*)`)
	firstCell = regexp.MustCompile(`(?m)^\| ([^|]*) \|`)
)

// TestToolPolicyEntries: the page explains each entry of domains and frontends that the parser
// knows. The parser names them all where it meets one that it does not know.
func TestToolPolicyEntries(t *testing.T) {
	const text = "domain = a\n    nonsense = b\nfrontend = a\n    nonsense = b\n" +
		"service = a\n    nonsense = b\nprogram = a\n    nonsense = b\n"
	_, err := policyfile.Parse("policy", []byte(text))
	if err == nil {
		t.Fatal("the parser knows nonsense")
	}
	section := readPage(t, "docs/tool.md").section(t, "## The policy file")
	found := knownEntries.FindAllStringSubmatch(err.Error(), -1)
	if len(found) != 4 {
		t.Fatalf("the parser says %v", err)
	}
	for _, kind := range found {
		_, table, _ := strings.Cut(section, "\n| below `"+kind[1]+"` |")
		table, _, _ = strings.Cut(table, "\n\n")
		var cells strings.Builder
		for _, cell := range firstCell.FindAllStringSubmatch(table, -1) {
			cells.WriteString(cell[1] + "\n")
		}
		for name := range strings.SplitSeq(kind[2], ", ") {
			if !strings.Contains(cells.String(), "`"+name+"`") {
				t.Errorf("docs/tool.md does not explain %s below a %s", name, kind[1])
			}
		}
	}
}
