package sshtunnel

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestResolve: the targets for a Config.
func TestResolve(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "/environment/agent")
	t.Setenv("KEYS", "/keys")
	local, _ := localUser()
	file := filepath.Join(home, "config")
	write(t, file, `
Host gateway
	HostName 10.1.2.3
	User bob
	Port 2222
	IdentityFile ~/keys/%r@%h
	IdentityFile ${KEYS}/%n-%p
	UserKnownHostsFile ~/known/%k
	IdentityAgent ~/agent
	ConnectTimeout 7
	ServerAliveInterval 9
	ServerAliveCountMax 2
	Ciphers aes256-gcm@openssh.com,aes192-cbc
	MACs -*sha1*
	KexAlgorithms ^ecdh-sha2-nistp384
Host quiet
	ServerAliveInterval 0
	IdentityAgent none
	IdentityFile none
	PreferredAuthentications password,rot13,publickey
	PasswordAuthentication no
`)
	one := func(cfg Config) *target {
		t.Helper()
		cfg.ConfigFile = file
		targets, err := resolve(t.Context(), cfg)
		must.OK(t, err)
		return targets[len(targets)-1]
	}
	gateway := one(Config{Host: "gateway"})
	if got := gateway.String(); got != "bob@10.1.2.3:2222" {
		t.Error(got)
	}
	if gateway.keys[0].path != home+"/keys/bob@10.1.2.3" ||
		gateway.keys[1].path != "/keys/gateway-2222" || len(gateway.keys) != 2 {
		t.Errorf("%+v", gateway.keys)
	}
	if gateway.knownHosts[0] != home+"/known/gateway" || gateway.agent != home+"/agent" {
		t.Errorf("%q, %q", gateway.knownHosts, gateway.agent)
	}
	if gateway.connectTimeout != 7*time.Second || gateway.keepAlive != 9*time.Second ||
		gateway.aliveCount != 2 {
		t.Errorf("%v, %v, %d", gateway.connectTimeout, gateway.keepAlive, gateway.aliveCount)
	}
	algorithms := gateway.algorithms
	if !slices.Equal(algorithms.Ciphers, []string{"aes256-gcm@openssh.com"}) ||
		slices.Contains(algorithms.MACs, "hmac-sha1") ||
		!slices.Contains(algorithms.MACs, "hmac-sha2-256") ||
		!strings.HasPrefix(algorithms.KeyExchanges[0], "ecdh") ||
		!slices.Contains(algorithms.KeyExchanges, "curve25519-sha256") {
		t.Errorf("%+v", algorithms)
	}
	quiet := one(Config{Host: "quiet"})
	if quiet.keepAlive > 0 || quiet.agent != "" || len(quiet.keys) != 0 ||
		!slices.Equal(quiet.methods, []string{methodKey}) {
		t.Errorf("%+v", quiet)
	}
	plain := one(Config{Host: "elsewhere"})
	if plain.String() != local+"@elsewhere:22" || plain.agent != "/environment/agent" ||
		len(plain.keys) != 3 || plain.knownName != "elsewhere" {
		t.Errorf("%+v", plain)
	}
	for host, want := range map[string]string{
		"ann@gateway":                   "ann@10.1.2.3:2222",
		"ann@gateway:77":                "ann@10.1.2.3:77",
		"ssh://gateway:77/":             "bob@10.1.2.3:77",
		"ssh://ann%40corp@gateway":      "ann@corp@10.1.2.3:2222",
		"ssh://a;fingerprint=x@gateway": "a@10.1.2.3:2222",
		"ann%40corp@gateway":            "ann%40corp@10.1.2.3:2222",
		"[::1]:77":                      local + "@[::1]:77",
		"::1":                           local + "@[::1]:22",
		"a@b@gateway":                   "a@b@10.1.2.3:2222",
	} {
		if got := one(Config{Host: host}).String(); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	preferred := one(Config{Host: "ann@gateway:77", User: "carol", Port: 78})
	if got := preferred.String(); got != "carol@10.1.2.3:78" {
		t.Error(got)
	}
	if got := one(Config{Host: "[FE80::1%eth0]:77"}).knownName; got != "[fe80::1%eth0]:77" {
		t.Error(got)
	}
}

func TestBadConfigs(t *testing.T) {
	for what, cfg := range map[string]Config{
		"Config.Host is empty":     {},
		"Config.Port 65536":        {Host: "a", Port: 65536},
		"Config.Port -1":           {Host: "a", Port: -1},
		`"a:"`:                     {Host: "a:"},
		`"a:0"`:                    {Host: "a:0"},
		`"a:65536"`:                {Host: "a:65536"},
		`"a:+1"`:                   {Host: "a:+1"},
		`"ssh://a%4@b": the user`:  {Host: "ssh://a%4@b"},
		`"ssh://%0A@b": a control`: {Host: "ssh://%0A@b"},
		`"ssh://;x@b": no user`:    {Host: "ssh://;x@b"},
		`"a:22:22"`:                {Host: "a:22:22"},
		`"@a"`:                     {Host: "@a"},
		`"ann@"`:                   {Host: "ann@"},
		`"[a]:22"`:                 {Host: "[a]:22"},
		`"[::1"`:                   {Host: "[::1"},
		`"[::1]22"`:                {Host: "[::1]22"},
		`"a,b": ','`:               {Host: "a,b"},
		`"-a": it begins`:          {Host: "-a"},
		`"-u@a": the user: it`:     {Host: "-u@a"},
		`"ssh://a%3Bb@c": the u`:   {Host: "ssh://a%3Bb@c"},
		`Config.User "u;id": ';'`:  {Host: "a", User: "u;id"},
		`Config.User "-l": it`:     {Host: "a", User: "-l"},
		"Config.ConnectTimeout":    {Host: "a", ConnectTimeout: -1},
		"Config.Jumps: \"b\" has":  {Host: "a", Jumps: []Config{{Host: "b", Jumps: []Config{}}}},
		"Config.Host is empty ":    {Host: "a", Jumps: []Config{{}}},
		"more than 16":             {Host: "a", Jumps: make([]Config, 17)},
	} {
		cfg.ConfigFile = "none"
		_, err := Open(patient(t), cfg)
		saysAll(t, err, strings.TrimSpace(what))
	}
}
