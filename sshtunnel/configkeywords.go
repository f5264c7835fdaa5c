package sshtunnel

import "runtime"

// fate is what becomes of a setting that applies to the host. The zero value is that this package
// uses it.
type fate int

const (
	_ fate = iota
	// unserved settings change how ssh runs, but neither where it connects nor whom it trusts. They
	// are named in a warning.
	unserved
	// refused settings change where or as whom one connects, or make ssh trust less. Without them the
	// connection would be another one than the file describes. So they are an error.
	refused
	// lax settings make ssh trust more. They are not followed, as "StrictHostKeyChecking no" is not,
	// and are named in a warning.
	lax
)

// keyword is a word that a line of an ssh_config may begin with.
type keyword struct {
	check func(words []string) error // the values, also in parts for other hosts
	fate  fate
	empty []string // values, in lower case, that ask for nothing
}

// Values for keyword.empty.
var yes, no, none = []string{"yes", "true"}, []string{"no", "false"}, []string{"none"}

// keywords are the words of ssh_config(5), in lower case: those of OpenSSH 9.2 with Debian's
// GSSAPI, and newer ones. Any other word is an error, as in ssh.
var keywords = map[string]keyword{
	// What this package uses.
	"addressfamily":                {check: oneOf("any", "inet", "inet6")},
	"bindaddress":                  {check: oneWord},
	"canonicaldomains":             {check: domains},
	"canonicalizefallbacklocal":    {check: flag},
	"canonicalizehostname":         {check: oneOf(yesNo("always")...)},
	"canonicalizemaxdots":          {check: number},
	"canonicalizepermittedcnames":  {check: permittedCNAMEs},
	"casignaturealgorithms":        {check: listOf(hostKeyNames, true)},
	"certificatefile":              {check: oneWord},
	"ciphers":                      {check: listOf(cipherNames, false)},
	"connecttimeout":               {check: seconds},
	"globalknownhostsfile":         {check: wordList},
	"hashknownhosts":               {check: flag},
	"hostkeyalgorithms":            {check: listOf(hostKeyNames, true)},
	"hostkeyalias":                 {check: oneWord},
	"hostname":                     {check: oneWord},
	"identitiesonly":               {check: flag},
	"identityagent":                {check: oneWord},
	"identityfile":                 {check: oneWord},
	"ignoreunknown":                {check: oneWord},
	"kbdinteractiveauthentication": {check: flag},
	"kexalgorithms":                {check: listOf(kexNames, false)},
	"macs":                         {check: listOf(macNames, false)},
	"passwordauthentication":       {check: flag},
	"port":                         {check: portNumber},
	"preferredauthentications":     {check: oneWord},
	"proxycommand":                 {check: anything},
	"proxyjump":                    {check: jumpList},
	"pubkeyacceptedalgorithms":     {check: listOf(hostKeyNames, true)},
	"pubkeyauthentication":         {check: oneOf(yesNo("unbound", "host-bound")...)},
	"requiredrsasize":              {check: number},
	"revokedhostkeys":              {check: oneWord},
	"serveralivecountmax":          {check: number},
	"serveraliveinterval":          {check: seconds},
	"stricthostkeychecking": {
		check: oneOf(yesNo("ask", "accept-new", "off")...),
	},
	"user":               {check: oneWord},
	"userknownhostsfile": {check: wordList},

	// Where, as whom, and whom to trust.
	"bindinterface":       {check: oneWord, fate: refused},
	"checkhostip":         {check: flag, fate: refused, empty: no},
	"knownhostscommand":   {check: anything, fate: refused, empty: none},
	"pkcs11provider":      {check: oneWord, fate: refused, empty: none},
	"proxyusefdpass":      {check: flag, fate: refused, empty: no},
	"refuseconnection":    {check: anything, fate: refused},
	"securitykeyprovider": {check: oneWord, fate: refused, empty: []string{"none", "internal"}},
	"tag":                 {check: oneWord, fate: refused},

	// Whom ssh would trust without a key in known_hosts.
	"nohostauthenticationforlocalhost": {check: flag, fate: lax, empty: no},
	"verifyhostkeydns":                 {check: oneOf(yesNo("ask")...), fate: lax, empty: no},

	// Logins that this package does not know.
	"enablesshkeysign":            {check: flag, fate: unserved, empty: no},
	"gssapiauthentication":        {check: flag, fate: unserved, empty: no},
	"gssapiclientidentity":        {check: oneWord, fate: unserved},
	"gssapidelegatecredentials":   {check: flag, fate: unserved, empty: no},
	"gssapikexalgorithms":         {check: oneWord, fate: unserved},
	"gssapikeyexchange":           {check: flag, fate: unserved, empty: no},
	"gssapirenewalforcesrekey":    {check: flag, fate: unserved, empty: no},
	"gssapiserveridentity":        {check: oneWord, fate: unserved},
	"gssapitrustdns":              {check: flag, fate: unserved, empty: no},
	"hostbasedacceptedalgorithms": {check: listOf(hostKeyNames, true), fate: unserved},
	"hostbasedauthentication":     {check: flag, fate: unserved, empty: no},
	"kbdinteractivedevices":       {check: oneWord, fate: unserved},

	// How the connection works.
	"addkeystoagent":     {check: upTo(2), fate: unserved, empty: no},
	"batchmode":          {check: flag, fate: unserved, empty: no},
	"channeltimeout":     {check: wordList, fate: unserved, empty: none},
	"compression":        {check: oneOf("yes", "no"), fate: unserved, empty: no},
	"connectionattempts": {check: number, fate: unserved, empty: []string{"1"}},
	"controlmaster": {
		check: oneOf(yesNo("auto", "ask", "autoask")...), fate: unserved, empty: no,
	},
	"controlpath":    {check: oneWord, fate: unserved, empty: none},
	"controlpersist": {check: oneWord, fate: unserved, empty: no},
	"fingerprinthash": {
		check: oneOf("md5", "sha256"), fate: unserved, empty: []string{"sha256"},
	},
	"ipqos":                   {check: upTo(2), fate: unserved},
	"loglevel":                {check: oneWord, fate: unserved},
	"logverbose":              {check: wordList, fate: unserved, empty: none},
	"numberofpasswordprompts": {check: number, fate: unserved},
	"obscurekeystroketiming":  {check: oneWord, fate: unserved},
	"rekeylimit": {
		check: upTo(2), fate: unserved, empty: []string{"default", "default none"},
	},
	"syslogfacility":  {check: oneWord, fate: unserved},
	"tcpkeepalive":    {check: flag, fate: unserved, empty: yes},
	"updatehostkeys":  {check: oneOf(yesNo("ask")...), fate: unserved, empty: no},
	"versionaddendum": {check: oneWord, fate: unserved, empty: none},
	"visualhostkey":   {check: flag, fate: unserved, empty: no},
	"warnweakcrypto":  {check: oneWord, fate: unserved},

	// Sessions and forwards of ssh itself.
	"clearallforwardings":     {check: flag, fate: unserved, empty: no},
	"dynamicforward":          {check: oneWord, fate: unserved},
	"enableescapecommandline": {check: flag, fate: unserved, empty: no},
	"escapechar":              {check: oneWord, fate: unserved},
	"exitonforwardfailure":    {check: flag, fate: unserved, empty: no},
	"forkafterauthentication": {check: flag, fate: unserved, empty: no},
	"forwardagent":            {check: oneWord, fate: unserved, empty: no},
	"forwardx11":              {check: flag, fate: unserved, empty: no},
	"forwardx11timeout":       {check: seconds, fate: unserved},
	"forwardx11trusted":       {check: flag, fate: unserved, empty: no},
	"gatewayports":            {check: flag, fate: unserved, empty: no},
	"localcommand":            {check: anything, fate: unserved, empty: none},
	"localforward":            {check: twoWords, fate: unserved},
	"permitlocalcommand":      {check: flag, fate: unserved, empty: no},
	"permitremoteopen":        {check: wordList, fate: unserved},
	"remotecommand":           {check: anything, fate: unserved, empty: none},
	"remoteforward":           {check: upTo(2), fate: unserved},
	"requesttty":              {check: oneOf(yesNo("force", "auto")...), fate: unserved},
	"sendenv":                 {check: environmentNames, fate: unserved},
	"sessiontype":             {check: oneOf("none", "subsystem", "default"), fate: unserved},
	"setenv":                  {check: environmentSettings, fate: unserved},
	"stdinnull":               {check: flag, fate: unserved, empty: no},
	"streamlocalbindmask":     {check: oneWord, fate: unserved},
	"streamlocalbindunlink":   {check: flag, fate: unserved, empty: no},
	"tunnel": {
		check: oneOf(yesNo("ethernet", "point-to-point")...), fate: unserved, empty: no,
	},
	"tunneldevice":  {check: oneWord, fate: unserved},
	"xauthlocation": {check: oneWord, fate: unserved},

	// Words of the past, which ssh passes over.
	"afstokenpassing":         {check: anything, fate: unserved},
	"cipher":                  {check: anything, fate: unserved},
	"compressionlevel":        {check: anything, fate: unserved},
	"fallbacktorsh":           {check: anything, fate: unserved},
	"globalknownhostsfile2":   {check: anything, fate: unserved},
	"kerberosauthentication":  {check: anything, fate: unserved},
	"kerberostgtpassing":      {check: anything, fate: unserved},
	"protocol":                {check: anything, fate: unserved, empty: []string{"2"}},
	"rhostsauthentication":    {check: anything, fate: unserved},
	"rhostsrsaauthentication": {check: anything, fate: unserved},
	"rsaauthentication":       {check: anything, fate: unserved},
	"useblacklistedkeys":      {check: anything, fate: unserved},
	"userknownhostsfile2":     {check: anything, fate: unserved},
	"useprivilegedport":       {check: anything, fate: unserved},
	"useroaming":              {check: anything, fate: unserved},
	"usersh":                  {check: anything, fate: unserved},
}

// keywordNamed returns the keyword with a name in lower case. macOS has one of its own.
func keywordNamed(name string) (keyword, bool) {
	if name == "usekeychain" && runtime.GOOS == "darwin" {
		return keyword{check: flag, fate: unserved, empty: no}, true
	}
	known, ok := keywords[name]
	return known, ok
}

// commands are the keywords whose value is a command line for a shell.
var commands = []string{"knownhostscommand", "localcommand", "proxycommand", "remotecommand"}

// oldNames maps the names of older versions of ssh, and Debian's, to the present ones.
var oldNames = map[string]string{
	"challengeresponseauthentication": "kbdinteractiveauthentication",
	"dsaauthentication":               "pubkeyauthentication",
	"hostbasedkeytypes":               "hostbasedacceptedalgorithms",
	"identityfile2":                   "identityfile",
	"keepalive":                       "tcpkeepalive",
	"protocolkeepalives":              "serveraliveinterval",
	"pubkeyacceptedkeytypes":          "pubkeyacceptedalgorithms",
	"setuptimeout":                    "serveraliveinterval",
	"skeyauthentication":              "kbdinteractiveauthentication",
	"smartcarddevice":                 "pkcs11provider",
	"tisauthentication":               "kbdinteractiveauthentication",
}
