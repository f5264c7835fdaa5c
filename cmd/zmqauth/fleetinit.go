package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

// defaultEnginePort is that of NATS.
const defaultEnginePort = "4222"

func newFleetInit() *cobra.Command {
	var plan fleetfile.Plan
	var natsToo bool
	var ca string
	cmd := &cobra.Command{
		Use:   "init DIR [--engine HOST[:PORT]]… [--servers NAME,…]",
		Short: "Make the files of a new fleet",
		Long: "init makes a directory with the files of a new fleet: one for each engine\n" +
			"(NAME.engine), one for each server (NAME.server), one for an administrator\n" +
			"(NAME.admin), and the list of members, which each engine gets beside its own file.\n" +
			"All but the list are secret and have mode 0600. The engines have certificates of a\n" +
			"CA that init makes.\n\n" +
			"One engine is enough. Of three, one may be away. --engine says where the servers reach it.\n" +
			"Engines reach each other at a port that is 2000 higher.\n\n" +
			"With --nats the engines are a NATS server that there is already (2.11 or later, with\n" +
			"JetStream and TLS). init prints the accounts to add to its configuration, then.",
		Example: "  zmqauth fleet init fleet --engine engine.example.org --servers orders-1,orders-2",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			plan.Dir, plan.Foreign = args[0], natsToo
			if ca != "" {
				if !natsToo {
					return usagef("--ca goes with --nats")
				}
				var err error
				if plan.CA, err = readCA(ca); err != nil {
					return err
				}
			}
			for i, engine := range plan.Engines {
				plan.Engines[i] = withPort(engine)
			}
			if err := fleetfile.Init(plan); err != nil {
				return err
			}
			if natsToo {
				return printNATS(newOutput(cmd), plan.Dir)
			}
			return printPlan(newOutput(cmd), plan)
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveFilterDirs),
	}
	flags := cmd.Flags()
	flags.StringVar(&plan.Fleet, "name", "fleet", "the name of the fleet, which signatures are for")
	flags.StringVar(&plan.Admin, "admin", "admin", "the name of the administrator")
	flags.StringSliceVar(&plan.Servers, "servers", nil, "the names of the servers")
	flags.StringArrayVar(&plan.Engines, "engine", []string{"localhost"},
		"where an engine is reached, HOST[:PORT]; may be repeated")
	flags.StringVar(&plan.Bucket, "bucket", fleetfile.DefaultBucket,
		"the name of the bucket, where several fleets share a NATS server")
	flags.BoolVar(&natsToo, "nats", false, "the engines are there: print the account to add to them")
	flags.StringVar(&ca, "ca", "", "the CA of the NATS server, PEM (default: those of the system)")
	for _, flag := range []string{"name", "admin", "servers", "engine", "bucket"} {
		completeFlag(cmd, flag)
	}
	return cmd
}

// readCA reads the one certificate of a file.
func readCA(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--ca: %s: %w", path, cause(err))
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || strings.Contains(string(rest), "-----BEGIN") {
		return nil, fmt.Errorf("--ca: %s: it is to be the one certificate of a CA in PEM", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("--ca: %s: %w", path, err)
	}
	return certificate, nil
}

// withPort adds the default port to an address that has none.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultEnginePort)
}

func printPlan(out output, plan fleetfile.Plan) error {
	rows := [][2]string{{"administrator", filepath.Join(plan.Dir, plan.Admin+".admin")}}
	for i, engine := range plan.Engines {
		rows = append(rows, [2]string{fmt.Sprintf("engine %s", engine),
			filepath.Join(plan.Dir, fmt.Sprintf("engine-%d.engine", i+1))})
	}
	for _, name := range plan.Servers {
		rows = append(rows, [2]string{"server " + name, filepath.Join(plan.Dir, name+".server")})
	}
	rows = append(rows, [2]string{"members", filepath.Join(plan.Dir, fleetfile.MembersFile)})
	return out.pairs(rows...)
}

// printNATS prints the accounts of the fleet of a directory.
func printNATS(out output, dir string) error {
	list, err := fleetfile.ReadMembers(filepath.Join(dir, fleetfile.MembersFile))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.w, `# For the configuration of nats-server, 2.11 or later. Besides, set up
# TLS for clients, and:
#
#   jetstream { store_dir: …, sync_interval: always }
#
# Without sync_interval a loss of power loses up to two minutes of changes. With max_buffered_msgs:
# 256 as well, no member that sends without an end holds up the others for long; it is for all
# streams of the NATS server. When the server has read this, an administrator makes the bucket on 1
# or 3 servers: zmqauth fleet status --create 1
%s`, list.Accounts(true))
	return err
}

func newFleetAccounts() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "Print the accounts for a NATS server that is not the fleet's own",
		Long: "accounts prints what init --nats has printed, with the list of members as it is now:\n" +
			"the accounts for the configuration of a NATS server. Put them in place of those\n" +
			"before, and have it reload: nats-server --signal reload. It ends the connections of\n" +
			"those who are not in them any more.",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			from, err := o.member()
			if err != nil {
				return err
			}
			return printNATS(newOutput(cmd), filepath.Dir(from.Path))
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addMember(cmd)
	return cmd
}

// addOptions are the flags of the commands that change who is a member.
type addOptions struct{ fleetOptions }

func (o *addOptions) addMember(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "as", "", "the file of an administrator, in the directory of the "+
		"fleet (default $"+fleetVariable+")")
}

// handOut is said in the help of these commands.
const handOut = "The list of members changes as well: copy it to each engine, beside the\n" +
	"engine's file. The engine uses it within a second. A NATS server that is not the\n" +
	"fleet's own gets the output of zmqauth fleet accounts."

func newFleetAddServer() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add-server NAME…",
		Short: "Make the files of more servers",
		Long: "add-server makes the file of a server in the directory of the fleet, beside that of\n" +
			"the administrator. It is secret: give it to that server alone.\n\n" + handOut,
		Example: "  zmqauth fleet add-server orders-3 --as fleet/admin.admin",
		Args:    cobra.MinimumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.add(cmd, natsstore.RoleServer, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addMember(cmd)
	return cmd
}

func newFleetAddAdmin() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add-admin NAME",
		Short: "Make the file of another administrator",
		Long: "add-admin makes the file of an administrator in the directory of the fleet. Servers\n" +
			"take what he signs once the line that add-admin prints is in their files as well,\n" +
			"and they have been restarted.\n\n" + handOut,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.add(cmd, natsstore.RoleAdministrator, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addMember(cmd)
	return cmd
}

func (o *addOptions) add(cmd *cobra.Command, role natsstore.Role, names []string) error {
	from, err := o.member()
	if err != nil {
		return err
	}
	out := newOutput(cmd)
	for _, name := range names {
		path, err := fleetfile.Add(from, role, name)
		if err != nil {
			return err
		}
		rows := [][2]string{{string(role) + " " + name, path}}
		if role == natsstore.RoleAdministrator {
			added, err := fleetfile.ReadMember(path)
			if err != nil {
				return err
			}
			rows = append(rows, [2]string{"for servers", added.SignerLine()})
		}
		if err := out.pairs(rows...); err != nil {
			return err
		}
	}
	return nil
}

func newFleetRemove() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "remove NAME…",
		Short: "Take servers or administrators out of the list of members",
		Long: "remove takes members out of the list, so that no engine lets them in any more. Their\n" +
			"files stay. Servers take what an administrator has signed until his signer is out of\n" +
			"their files.\n\n" + handOut,
		Args: cobra.MinimumNArgs(1),
		RunE: action(func(_ *cobra.Command, args []string) error {
			from, err := o.member()
			if err != nil {
				return err
			}
			list := filepath.Join(filepath.Dir(from.Path), fleetfile.MembersFile)
			for _, name := range args {
				if name == from.Name {
					return errors.New("nobody takes himself out: another administrator can")
				}
				if err := fleetfile.RemoveMember(list, name); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addMember(cmd)
	return cmd
}
