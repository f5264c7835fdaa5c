package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// linkOptions are the flags of the commands that run one link, besides those of the link itself.
type linkOptions struct {
	log    logOptions
	linger time.Duration
}

// addLink gives a command these flags.
func (o *linkOptions) addLink(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.linger, "linger", 5*time.Second,
		"how long connections may go on at the end")
	o.log.addLog(cmd)
}

// run runs a link until the command is ended.
func (o linkOptions) run(cmd *cobra.Command, spec links.Spec, login *links.Login) error {
	if o.linger < 0 {
		return usagef("--linger is negative")
	}
	log, flush, err := o.log.logger()
	if err != nil {
		return err
	}
	defer flush()
	reload, stop := reloads()
	defer stop()
	return links.Run(cmd.Context(), spec, links.Options{
		Log: log, Linger: o.linger, Login: login, Strict: true,
	}, reload)
}

// flagKind is how a flag's value is read.
type flagKind int

const (
	textFlag    flagKind = iota // once, with a value
	listFlag                    // any number of times
	switchFlag                  // without a value
	fileFlag                    // the name of a file
	versionFlag                 // a version of TLS
)

// linkFlag is a flag that has the name of an entry of a link's section.
type linkFlag struct {
	entry, short string
	kind         flagKind
	usage        string
}

// addFlags gives a command the flags of a link.
func addFlags(cmd *cobra.Command, all []linkFlag) {
	flags := cmd.Flags()
	for _, f := range all {
		switch f.kind {
		case listFlag:
			flags.StringArrayP(f.entry, f.short, nil, f.usage)
		case switchFlag:
			flags.BoolP(f.entry, f.short, false, f.usage)
		default:
			flags.StringP(f.entry, f.short, "", f.usage)
		}
		switch f.kind {
		case fileFlag:
		case versionFlag:
			completeFlag(cmd, f.entry, "1.2", "1.3")
		default:
			completeFlag(cmd, f.entry)
		}
	}
}

// valuesOf returns the flags that were given, as the entries of a section.
func valuesOf(flags *pflag.FlagSet, all []linkFlag) (values []policyfile.Value) {
	for _, f := range all {
		given := flags.Lookup(f.entry)
		if !given.Changed {
			continue
		}
		texts := []string{given.Value.String()}
		switch f.kind {
		case listFlag:
			texts, _ = flags.GetStringArray(f.entry) // it is one
		case switchFlag:
			texts = []string{map[string]string{"true": policyfile.Yes, "false": policyfile.No}[texts[0]]}
		}
		for _, text := range texts {
			values = append(values, policyfile.Value{Entry: f.entry, Text: text})
		}
	}
	return values
}

// flagError makes an error of the command line of one about an entry. argument is the entry that is
// no flag.
func flagError(err error, argument string) error {
	fault, ok := errors.AsType[*policyfile.ValueError](err)
	switch {
	case err == nil || !ok:
		return err
	case fault.Entry == "":
		return usagef("%w", fault.Err)
	case fault.Entry == argument:
		return usagef("%w", fault.Err)
	}
	return usagef("--%s %w", fault.Entry, fault.Err)
}

// addressForms is said in the help of the commands that have addresses.
const addressForms = "An address is HOST:PORT or tcp://HOST:PORT, or for a Unix socket its\n" +
	"path, unix:PATH or ipc://PATH. To listen, HOST is an IP address, localhost, or * for all."

const (
	maxConnsUsage = "connections at once; others wait (default no limit)"
	modeUsage     = "permissions of a Unix socket (default 0600)"
	groupUsage    = "group of a Unix socket, by name or number"
	minTLSUsage   = "oldest version of TLS: 1.2 or 1.3 (default 1.2)"
)
