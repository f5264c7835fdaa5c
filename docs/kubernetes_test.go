package docs

import (
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// object is what the test reads of an object in the manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     podSpec
		}
		PodSelector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		Selector yaml.Node
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Ingress []struct{ Ports []struct{ Port string } }
	}
}

type podSpec struct {
	Grace           int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext struct {
		RunAsNonRoot bool   `yaml:"runAsNonRoot"`
		User         uint32 `yaml:"runAsUser"`
		Group        uint32 `yaml:"runAsGroup"`
		Files        uint32 `yaml:"fsGroup"`
	} `yaml:"securityContext"`
	Containers []container
	Volumes    []volume
}

type container struct {
	Name            string
	Args            []string
	Ports           []port
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	SecurityContext struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnly     bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities struct{ Drop []string }
	} `yaml:"securityContext"`
	Mounts []struct {
		Name string
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type port struct {
	Name   string
	Number string `yaml:"containerPort"`
}

type probe struct {
	Get struct{ Path, Port, Scheme string } `yaml:"httpGet"`
}

type volume struct {
	Name      string
	ConfigMap *struct{ Name string } `yaml:"configMap"`
	Secret    *struct {
		Name string      `yaml:"secretName"`
		Mode fs.FileMode `yaml:"defaultMode"`
	}
	EmptyDir *struct{ Medium string } `yaml:"emptyDir"`
}

func readManifest(t *testing.T) map[string]*object {
	t.Helper()
	file, err := os.Open("kubernetes.yaml")
	must.OK(t, err)
	defer file.Close()
	objects := make(map[string]*object)
	for decoder := yaml.NewDecoder(file); ; {
		o := new(object)
		if err := decoder.Decode(o); errors.Is(err, io.EOF) {
			return objects
		} else {
			must.OK(t, err)
		}
		objects[o.Kind] = o
	}
}

// pod is the pod of the manifest, on this host: its files as a kubelet mounts them, and its user.
type pod struct {
	*walk
	spec    podSpec
	proxy   container
	root    string // in place of /
	objects map[string]*object
	binary  string
}

// walkKubernetes makes what the page says, mounts it as the manifest wants, and runs the proxy with
// its arguments, as its user.
func walkKubernetes(t *testing.T, r *reader) {
	testpeer.Program(t, "openssl", "openssl")
	w := newWalk(t, "5555", "9090", "6666")
	w.run(r.commands())
	const reason = "there is no cluster"
	r.notRun(reason)
	promtool := testpeer.Program(t, "prometheus", "promtool")
	w.write("prometheus.yml", r.take("yaml").text)
	w.run(promtool + " check config prometheus.yml")
	p := newPod(t, w)
	p.checkManifest()
	p.mountAll()
	args := slices.Clone(p.proxy.Args)
	for i, arg := range args {
		args[i] = p.here(p.below(arg))
	}
	policy := strings.TrimPrefix(args[1], "--config=")
	if out, err := p.as("check", "--config", policy).CombinedOutput(); err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	command := p.as(args...)
	r2 := &running{command: command}
	command.Stdout, command.Stderr = &r2.log, &r2.log
	must.OK(t, command.Start())
	t.Cleanup(func() {
		must.OK(t, command.Process.Signal(syscall.SIGTERM))
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the proxy: %v\n%s", err, &r2.log)
		}
	})
	p.awaitPort("9090")
	for _, probe := range []probe{p.proxy.LivenessProbe, p.proxy.ReadinessProbe} {
		testpeer.Eventually(t, probe.Get.Path+" is good", func() bool {
			return p.status(probe.Get.Path, "") == http.StatusOK
		})
	}
	token, err := os.ReadFile(filepath.Join(w.dir, "token"))
	must.OK(t, err)
	if got := p.status("/metrics", ""); got != http.StatusUnauthorized {
		t.Errorf("/metrics without the token: %d", got)
	}
	if got := p.status("/metrics", strings.TrimSpace(string(token))); got != http.StatusOK {
		t.Errorf("/metrics with the token: %d", got)
	}
	connect := "zmqauth connect tcp://127.0.0.1:5555 --server-key server.key --cert "
	w.run(connect + "ann.key_secret")
	w.run("zmqauth keygen bob && mv bob.key clients && rm clients/ann.key")
	w.refused(connect + "bob.key_secret")
	p.update("clients")
	testpeer.Eventually(t, "bob is let in", func() bool {
		_, _, err := w.try(connect + "bob.key_secret")
		return err == nil
	})
	testpeer.Eventually(t, "ann is refused", func() bool {
		_, said, err := w.try(connect + "ann.key_secret")
		return err != nil && strings.Contains(said, "access denied")
	})
}

func newPod(t *testing.T, w *walk) *pod {
	t.Helper()
	p := &pod{walk: w, objects: readManifest(t)}
	p.spec = p.objects["Deployment"].Spec.Template.Spec
	p.proxy = p.spec.Containers[slices.IndexFunc(p.spec.Containers,
		func(c container) bool { return c.Name == "zmqauth" })]
	var err error
	p.root, err = os.MkdirTemp("", "pod")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(p.root)) })
	must.OK(t, os.Chmod(p.root, 0o755)) // #nosec G302 -- another user has to get at it
	p.binary = filepath.Join(p.root, "zmqauth")
	w.run("cp $(command -v zmqauth) " + p.binary)
	return p
}

// checkManifest holds the parts of the manifest against each other.
func (p *pod) checkManifest() {
	t, context := p.t, p.spec.SecurityContext
	t.Helper()
	if !context.RunAsNonRoot || context.User == 0 || context.Files != context.Group {
		t.Errorf("the pod's securityContext is %+v", context)
	}
	for _, c := range p.spec.Containers {
		s := c.SecurityContext
		if s.Escalation == nil || *s.Escalation || !s.ReadOnly ||
			!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("the securityContext of %s is %+v", c.Name, s)
		}
	}
	ports := make(map[string]string)
	for _, port := range p.proxy.Ports {
		ports[port.Name] = port.Number
	}
	if !slices.Contains(p.proxy.Args, "--http=*:"+ports["http"]) {
		t.Errorf("no argument serves port %s", ports["http"])
	}
	policy := p.objects["ConfigMap"].Data["zmqauth.zpl"]
	if !strings.Contains(policy, "bind = tcp://*:"+ports["zmq"]+"\n") {
		t.Errorf("no frontend serves port %s", ports["zmq"])
	}
	for _, probe := range []probe{p.proxy.LivenessProbe, p.proxy.ReadinessProbe} {
		if probe.Get.Port != "http" || probe.Get.Scheme != "HTTPS" {
			t.Errorf("a probe asks %+v", probe.Get)
		}
	}
	if p.proxy.LivenessProbe.Get.Path != "/healthz" || p.proxy.ReadinessProbe.Get.Path != "/readyz" {
		t.Error("the probes ask for other pages")
	}
	labels := p.objects["Deployment"].Spec.Template.Metadata.Labels
	var selected map[string]string
	must.OK(t, p.objects["Service"].Spec.Selector.Decode(&selected))
	for _, selected := range []map[string]string{selected,
		p.objects["NetworkPolicy"].Spec.PodSelector.MatchLabels} {
		if len(selected) == 0 || selected["app"] != labels["app"] {
			t.Errorf("%v selects no pod with %v", selected, labels)
		}
	}
	var named []string
	for _, port := range p.objects["Service"].Spec.Ports {
		named = append(named, port.TargetPort)
	}
	for _, rule := range p.objects["NetworkPolicy"].Spec.Ingress {
		for _, port := range rule.Ports {
			named = append(named, port.Port)
		}
	}
	if !slices.Equal(named, []string{"zmq", "zmq", "http"}) {
		t.Errorf("the ports are %q", named)
	}
}

// sources are the files of each Secret and ConfigMap, as the page's commands make them.
var sources = map[string]string{"orders-clients": "clients/*", "orders-server": "server.key_secret",
	"orders-http": "tls.*", "orders-token": "token"}

// mountAll mounts the volumes.
func (p *pod) mountAll() {
	p.t.Helper()
	for _, v := range p.spec.Volumes {
		at := p.mountPath(v.Name)
		must.OK(p.t, os.MkdirAll(at, 0o755)) // #nosec G301 -- another user has to get at it
		if v.EmptyDir != nil {
			if v.EmptyDir.Medium != "Memory" {
				p.t.Errorf("%s: without the sticky bit", v.Name)
			}
			must.OK(p.t, os.Chmod(at, 0o777|fs.ModeSticky|fs.ModeSetgid))
			continue
		}
		must.OK(p.t, os.Chmod(at, 0o777|fs.ModeSetgid)) // #nosec G302 -- as a kubelet does
		p.own(at)
		p.update(v.Name)
	}
}

// below has the paths of a text begin with the root.
func (p *pod) below(text string) string {
	return strings.ReplaceAll(text, "/etc/zmqauth", p.root+"/etc/zmqauth")
}

func (p *pod) mountPath(name string) string {
	for _, m := range p.proxy.Mounts {
		if m.Name == name {
			return filepath.Join(p.root, m.Path)
		}
	}
	p.t.Fatalf("the volume %s is mounted nowhere", name)
	return ""
}

// own gives a file to root and to the group of the pod's files, where this user may.
func (p *pod) own(path string) {
	if os.Getuid() == 0 {
		must.OK(p.t, os.Lchown(path, 0, int(p.spec.SecurityContext.Files)))
	}
}

// update brings what a volume has now, as a kubelet does: in a new directory, to which the link
// ..data is turned. (pkg/volume/util/atomic_writer.go of Kubernetes, and SetVolumeOwnership, which
// lets the group read.)
func (p *pod) update(name string) {
	t := p.t
	t.Helper()
	at := p.mountPath(name)
	next, err := os.MkdirTemp(at, "..")
	must.OK(t, err)
	link := filepath.Join(at, "..data")
	before, _ := os.Readlink(link) // none, at first
	mode := fs.FileMode(0o644)
	v := p.spec.Volumes[slices.IndexFunc(p.spec.Volumes,
		func(v volume) bool { return v.Name == name })]
	var files []string
	if v.Secret != nil {
		mode = v.Secret.Mode
		files = p.files(v.Secret.Name)
	} else {
		files = p.files(v.ConfigMap.Name)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must.OK(t, err)
		if v.ConfigMap != nil && v.ConfigMap.Name == "orders-policy" {
			text = []byte(p.here(p.below(string(text))))
		}
		path := filepath.Join(next, filepath.Base(file))
		must.OK(t, os.WriteFile(path, text, 0o600))
		must.OK(t, os.Chmod(path, mode|0o440))
		p.own(path)
		err = os.Symlink("..data/"+filepath.Base(file), filepath.Join(at, filepath.Base(file)))
		if !errors.Is(err, fs.ErrExist) {
			must.OK(t, err)
		}
	}
	must.OK(t, os.Chmod(next, 0o755|fs.ModeSetgid)) // #nosec G302 -- as a kubelet does
	p.own(next)
	must.OK(t, os.Symlink(filepath.Base(next), filepath.Join(at, "..data_tmp")))
	must.OK(t, os.Rename(filepath.Join(at, "..data_tmp"), link))
	if before != "" {
		must.OK(t, os.RemoveAll(filepath.Join(at, before)))
	}
}

// files are those of a Secret or ConfigMap.
func (p *pod) files(name string) []string {
	p.t.Helper()
	if name == "orders-policy" {
		path := filepath.Join(p.t.TempDir(), "zmqauth.zpl")
		must.OK(p.t, os.WriteFile(path, []byte(p.objects["ConfigMap"].Data["zmqauth.zpl"]), 0o600))
		return []string{path}
	}
	found, err := filepath.Glob(filepath.Join(p.dir, sources[name]))
	must.OK(p.t, err)
	if sources[name] == "" || len(found) == 0 {
		p.t.Fatalf("the page makes no files for %s", name)
	}
	return found
}

// as is the tool, run as the user of the pod where this one may.
func (p *pod) as(args ...string) *exec.Cmd {
	cmd := exec.Command(p.binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+p.mountPath("tmp"))
	if os.Getuid() == 0 {
		s := p.spec.SecurityContext
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: s.User, Gid: s.Group, Groups: []uint32{s.Files}}}
	}
	return cmd
}

// status is how the port of the probes answers, as the kubelet asks: it checks no certificate.
func (p *pod) status(path, token string) int {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet,
		"https://127.0.0.1:"+p.ports["9090"]+path, nil)
	must.OK(p.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // #nosec G402 -- see above
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	must.OK(p.t, response.Body.Close())
	return response.StatusCode
}
