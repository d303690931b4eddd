// Command s3 is an S3 server that keeps objects in a folder: versitygw's gateway over its POSIX backend.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: s3 ADDRESS HOME ACCESS SECRET REGION")
		os.Exit(1)
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve keeps buckets, old versions and metadata in folders of home, until the process is told to end.
func serve(address, home, access, secret, region string) error {
	folders := map[string]string{}
	for _, name := range []string{"buckets", "versions", "metadata"} {
		folders[name] = filepath.Join(home, name)
		if err := os.MkdirAll(folders[name], 0o755); err != nil {
			return err
		}
	}
	// Not every file system has extended attributes.
	attributes, err := meta.NewSideCar(folders["metadata"])
	if err != nil {
		return err
	}
	options := posix.PosixOpts{SideCarDir: folders["metadata"], VersioningDir: folders["versions"]}
	backend, err := posix.New(folders["buckets"], attributes, options)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess:    access,
		RootUserSecret:    secret,
		Region:            region,
		MultipartMaxParts: 10000,
		Ports:             []string{address},
		MaxConnections:    1000,
		MaxRequests:       1000,
		KeepAlive:         true,
		Quiet:             true,
	})
}
