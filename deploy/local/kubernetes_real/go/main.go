// Command kubernetes is etcd, kube-apiserver, kube-controller-manager and KWOK in one binary.
//
// Its first argument picks the part, the rest are that part's own arguments. One binary, because these programs
// share nearly all of their code: it is built once and cached. It adds nothing to what the parts do by themselves.
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: %s etcd|apiserver|controllers|kwok [arguments]", os.Args[0]))
	}
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...)
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "apiserver":
		runComponent(apiserver.NewAPIServerCommand())
	case "controllers":
		runComponent(controllers.NewControllerManagerCommand())
	case "kwok":
		if err := runKwok(); err != nil {
			fail(err)
		}
	default:
		fail(fmt.Errorf("unknown part %q", part))
	}
}

func runComponent(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// runKwok does what kwok's own main does.
func runKwok() error {
	// component-base has registered --version and others here; kwok registers its own under the same names.
	pflag.CommandLine = pflag.NewFlagSet(os.Args[0], pflag.ExitOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, err := kwokContext(flags)
	if err != nil {
		return err
	}
	command := kwok.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	return command.ExecuteContext(ctx)
}

func kwokContext(flags *pflag.FlagSet) (context.Context, error) {
	ctx, _ := log.InitFlags(signals.SetupSignalContext(), flags)
	return config.InitFlags(ctx, flags)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
