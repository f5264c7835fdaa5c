package sshtunnel

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// fakeHosts are the hosts of the tests, with the names that their aliases lead to. A final dot is
// left out.
var fakeHosts = map[string]string{
	"gateway.a.example": "gateway.a.example",
	"gateway.b.example": "real.c.example",
	"www.b.example":     "real.c.example",
	"deep.x.b.example":  "deep.x.b.example",
	"short":             "real.c.example",
}

func fakeLookup(_ context.Context, _, host string, alias bool) (string, bool) {
	canonical, found := fakeHosts[strings.TrimSuffix(host, ".")]
	if !alias {
		canonical = ""
	}
	return canonical, found
}

// fakeResolver is a library that gives ssh the same hosts.
const fakeResolver = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **result) {
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
	char *hosts = strdup(getenv("TEST_HOSTS")), *name = strdup(node), *next;
	size_t length = strlen(name);
	if (hints->ai_flags & AI_NUMERICHOST)
		return real(node, service, hints, result);
	if (length > 0 && name[length - 1] == '.')
		name[length - 1] = 0;
	for (char *host = strtok_r(hosts, " ", &next); host != NULL; host = strtok_r(NULL, " ", &next)) {
		char *canonical = strchr(host, '=');
		*canonical++ = 0;
		if (strcmp(host, name) != 0)
			continue;
		int error = real("127.0.0.1", service, hints, result);
		if (error == 0 && (hints->ai_flags & AI_CANONNAME)) {
			free((*result)->ai_canonname);
			(*result)->ai_canonname = strdup(canonical);
		}
		return error;
	}
	return EAI_NONAME;
}
`

// TestCanonicalAsInSSH: of the same hosts, ssh and this package make the same names.
func TestCanonicalAsInSSH(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "resolver.c"), fakeResolver)
	library := filepath.Join(dir, "resolver.so")
	out, err := exec.Command(testpeer.Program(t, install, "gcc"), "-shared", "-fPIC", "-o", library,
		filepath.Join(dir, "resolver.c"), "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	ssh := testpeer.Program(t, install, "ssh")
	var hosts []string
	for host, canonical := range fakeHosts {
		hosts = append(hosts, host+"="+canonical)
	}
	file := filepath.Join(dir, "config")
	const domains = "CanonicalizeHostname yes\nCanonicalDomains a.example b.example\n"
	for name, text := range map[string]string{
		"off":         "CanonicalDomains a.example\n",
		"domains":     domains,
		"dots":        domains + "CanonicalizeMaxDots 0\n",
		"no fallback": domains + "CanonicalizeFallbackLocal no\n",
		"second pass": domains + "Host *.a.example\nPort 77\n" +
			"Match canonical host *.b.example\nUser b\n",
		"aliases":       domains + "CanonicalizePermittedCNAMEs *.b.example:*.c.example,*.d.example\n",
		"other aliases": domains + "CanonicalizePermittedCNAMEs *.b.example:*.d.example\n",
		"no aliases":    domains + "CanonicalizePermittedCNAMEs none\n",
		"alias alone":   "CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs short:*.example\n",
		"alias, off":    "CanonicalizePermittedCNAMEs short:*.example\n",
		"jump":          domains + "ProxyJump first\n",
		"jump, always":  "CanonicalizeHostname always\nCanonicalDomains b.example\nProxyJump first\n",
		"no command":    domains + "ProxyCommand none\n",
		"host name":     domains + "HostName WWW\n",
		"one domain":    "CanonicalizeHostname yes\nCanonicalDomains b.example\nCanonicalizeMaxDots 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			write(t, file, text)
			for _, host := range []string{"gateway", "GATEWAY", "www", "none", "deep.x", "short",
				"gateway.a.example.", "10.1.2.3", "::0001", "fe80::1%lo"} {
				command := exec.Command(ssh, "-F", file, "-G", "--", host)
				command.Env = append(os.Environ(), "LD_PRELOAD="+library,
					"TEST_HOSTS="+strings.Join(hosts, " "))
				said, refusal := command.Output()
				r := &configReader{
					ctx: t.Context(), given: host, localUser: "root", home: dir, lookup: fakeLookup,
				}
				found, err := r.readAll(file)
				if (err == nil) != (refusal == nil) {
					t.Errorf("%s: %v; ssh: %v", host, err, refusal)
				}
				if err != nil || refusal != nil {
					continue
				}
				for _, want := range []string{"\nhostname " + found.host + "\n",
					"\nport " + orElse(found.word("port"), "22") + "\n"} {
					if !strings.Contains("\n"+string(said), want) {
						t.Errorf("%s: %q; ssh has\n%s", host, want, said[:120])
					}
				}
			}
		})
	}
}

func orElse(word, otherwise string) string {
	if word == "" {
		return otherwise
	}
	return word
}

// TestLookupHost: the system's own way to look for hosts is used.
func TestLookupHost(t *testing.T) {
	if _, found := lookupHost(t.Context(), "ip", "localhost", true); !found {
		t.Error("localhost is not found")
	}
	if _, found := lookupHost(t.Context(), "ip", "no-such-host.invalid", false); found {
		t.Error("a host is found that does not exist")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, "CanonicalizeHostname yes\nCanonicalDomains a.invalid\n")
	_, err := readConfig(ctx, file, "gateway", "")
	saysAll(t, err, `looking for the host "gateway"`, "canceled")
}
