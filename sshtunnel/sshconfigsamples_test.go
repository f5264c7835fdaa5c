package sshtunnel

// The configurations that are compared with ssh -G. DIR stands for their directory.
var configurations = map[string]string{
	"plain": `
Host gateway
	HostName gateway.example
	User ann
	Port 2222
Host *
	Port 22222
	ServerAliveInterval 30
`,
	"the first value counts, identities add up": `
IdentityFile /keys/first
Host gateway
  IdentityFile /keys/second
  Port 1
Host *
  Port 2
  IdentityFile /keys/third
  CertificateFile /keys/third-cert.pub
`,
	"patterns": `
Host gate?ay !other
	Port 1
Host ???????? *.example
	Port 2
Host !gateway *
	User nobody
Host [abc]* {a,b}
	Port 3
`,
	"blanks": "\tHost\tgateway\tother\n\t \tPort\t=\t77   \nUser=ann\nHostKeyAlias =  bob\n\n" +
		"   # comment\nHost other\r\n  ConnectTimeout 5\r\n",
	"quotes": `
Host "gateway" 'other'
	User "ann"
	IdentityFile "/keys/with blank"
	IdentityFile '/keys/with "quotes"'
	IdentityFile /keys/escaped\ blank
	IdentityFile "/keys/a \"quote\""
	CertificateFile /keys/x\y
`,
	"comments": `
Host gateway # other
	IdentityFile /keys/with#hash
	User ann # not bob
	Port 77 #78
# Port 79
`,
	"cases": `
HOST gateway
	hostNAME Example.ORG
	PORT 77
	StrictHostKeyChecking ACCEPT-NEW
Host GATEWAY
	User ann
`,
	"match": `
Match originalhost gateway user root
	Port 1
Match host gateway
	User ann
Match user ann host *.example,gate*
	HostName %h.example
Match host gateway.example
	HostKeyAlias found
Match !originalhost gateway
	IdentityFile /keys/notgateway
Match localuser !nobody,*
	ConnectTimeout 7
Match all
	ServerAliveCountMax 9
`,
	"match with equals": `
Match originalhost=gateway
	Port 1
Match user=ann,bob
	ConnectTimeout 7
`,
	"include": `
Host gateway
	Include DIR/included-*
	Port 3
Host *
	Include "DIR/included one"
	User last
`,
	"jump": `
Host gateway
	ProxyJump ann@first:2222,second
Host other
	ProxyJump none
	ProxyJump third
Host *
	ProxyJump fallback
`,
	"command and jump": `
Host gateway
	ProxyCommand none
Host *
	ProxyJump fallback
`,
	"files": `
UserKnownHostsFile /one "/two files" /three
GlobalKnownHostsFile none
RevokedHostKeys /revoked
IdentityAgent /agent
IdentitiesOnly yes
HashKnownHosts yes
AddressFamily inet6
PubkeyAuthentication no
KbdInteractiveAuthentication no
PasswordAuthentication no
PreferredAuthentications publickey,password
`,
	"times": `
ConnectTimeout 1m30s
ServerAliveInterval 2m
`,
	"old names": "ChallengeResponseAuthentication no\nDSAAuthentication no\n",
	"unknown to us": `
IgnoreUnknown Whatever
Whatever "unbalanced is fine here, too"
SendEnv LANG LC_*
LocalForward 8080 localhost:80
Port 77
`,
	"canonical and final": `
Match canonical all
	User canonical
Match final host gateway.example
	Port 1
Match host gateway
	HostName %h.Example
Match !final user root
	Port 2
Match host gateway.EXAMPLE
	Port 3
Host gateway.example
	HostKeyAlias second
`,
	"final is asked for where it does not match": `
Match user nobody final
	Port 1
Host gateway.example
	Port 2
Host gateway
	HostName gateway.example
`,
	"canonical without a domain": `
CanonicalizeHostname yes
Match canonical host gateway
	Port 1
Host other
	CanonicalDomains a.invalid b.invalid
	CanonicalizeMaxDots 2
	CanonicalizePermittedCNAMEs none
`,
	"exec": `
Match user ann exec "test %n = gateway"
	Port 1
Match host * exec "exit 3"
	Port 2
Match !exec "false"
	ConnectTimeout 4
`,
	"commands": `
Host gateway
	ProxyCommand  ssh -W "[%h]:%p" 'x y' # %r
Host other
	ProxyCommand=nc %h %p
	ProxyJump last
Host *
	ProxyCommand none
`,
	"algorithms": `
Ciphers aes256-ctr,3des-cbc,aes128-gcm@openssh.com
MACs ^hmac-sha2-512,hmac-sha1
KexAlgorithms -*nistp*
HostKeyAlgorithms +ssh-rsa
PubkeyAcceptedAlgorithms ssh-*,ecdsa-sha2-nistp256
CASignatureAlgorithms ssh-ed25519,rsa-sha2-*
`,
	"other words": `
BatchMode no
BindAddress 127.0.0.1
RequiredRSASize 3072
Compression no
TCPKeepAlive no
Tunnel no
ControlMaster auto
ControlPath /tmp/%C
AddKeysToAgent no
Protocol 2
Cipher blowfish
RSAAuthentication yes
SetEnv A=b "C=d e"
RekeyLimit 1G 1h
`,
	"ignored words": `
IgnoreUnknown use*,Obsolete?
UseKeychain yes
OBSOLETE1 "a b"
User ann
`,
	"hash of the connection": `
IdentityFile /keys/%C
UserKnownHostsFile /known/%C /known/%n-%k
HostKeyAlias Alias
HostName a%h
`,
	"home directories": `
IdentityFile ~root/key
IdentityAgent ~/agent
Include ~root/no/such/file ~nosuchuser/x
`,
}
