package docs

import "testing"

// scripts say what is done with the blocks of each guide, in their order.
func scripts() map[string]func(*testing.T, *reader) {
	return map[string]func(*testing.T, *reader){
		"README.md":     walkReadme,
		"docs/guide.md": walkGuide,
		"docs/tls.md":   walkTLS,
		"docs/ssh.md":   walkSSH,
		"docs/tool.md":  walkTool,
		"docs/fleet.md": walkFleet,

		"docs/observe.md":   walkObserve,
		"docs/languages.md": walkLanguages,

		"docs/kubernetes.md": walkKubernetes,

		"examples/gssapi/README.md": passKerberos,
	}
}

// TestGuides runs the commands of each guide as they stand there, with its files. A block that no
// script takes is an error.
func TestGuides(t *testing.T) {
	scripts := scripts()
	for _, path := range guides(t) {
		t.Run(path, func(t *testing.T) {
			r := &reader{t: t, page: readPage(t, path)}
			if script := scripts[path]; script != nil {
				script(t, r)
			}
			r.end()
		})
	}
}

// passKerberos: the commands are for the reader's own realm.
func passKerberos(_ *testing.T, r *reader) {
	const reason = "TestGSSAPIExample runs the program against a KDC of its own"
	for range 4 {
		r.notRun(reason)
	}
	r.output()
}
