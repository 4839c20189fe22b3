package service

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is a running PostgreSQL server with an empty database of its own.
// Whoever connects over loopback is its superuser.
type Postgres struct {
	URL string // postgres://postgres@127.0.0.1:PORT/postgres
	p   *process
}

// PostgresOptions sets up a Postgres; the zero value works.
type PostgresOptions struct {
	Cron     bool     // load pg_cron, for the database "postgres"
	Settings []string // "name=value", as postgres -c takes them
	Env      []string // "NAME=value" added to its environment
}

// postgresFolders is where Debian keeps the server's programs.
const postgresFolders = "/usr/lib/postgresql/*/bin"

// StartPostgres starts a PostgreSQL server that is stopped with the test. Run by
// root, which PostgreSQL refuses, it runs as the user postgres.
func StartPostgres(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	folders, err := filepath.Glob(postgresFolders)
	if err != nil {
		t.Fatal(err)
	}
	initdb := program(t, "postgresql", "initdb", folders...)
	server := program(t, "postgresql", "postgres", folders...)

	// A folder of its own below /tmp: t.TempDir's parents are closed to other users.
	dir, err := os.MkdirTemp("", "edgeload-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := asPostgres(t, dir)
	data := filepath.Join(dir, "data")
	setup := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	setup.SysProcAttr, setup.Dir = attr, dir
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}

	port := freePort(t)
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", dir, "-c", "fsync=off"}
	if o.Cron {
		args = append(args, "-c", "shared_preload_libraries=pg_cron", "-c", "cron.database_name=postgres", "-c", "cron.host=127.0.0.1")
	}
	for _, setting := range o.Settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(server, args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Env = attr, dir, append(os.Environ(), o.Env...)
	pg := &Postgres{
		URL: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port),
		p:   start(t, cmd),
	}
	t.Cleanup(func() { pg.p.signal(t, syscall.SIGINT) }) // fast shutdown
	pg.p.await(t, func() error {
		conn, err := pgx.Connect(context.Background(), pg.URL)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.Background()) }()
		if !o.Cron {
			return nil
		}
		_, err = conn.Exec(context.Background(), "CREATE EXTENSION IF NOT EXISTS pg_cron")
		return err
	})
	return pg
}

// asPostgres gives the folder to the user postgres where root runs the test, and
// returns what makes a process run as that user.
func asPostgres(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("root cannot run PostgreSQL, and there is no user for it: %v", err)
	}
	uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	if uerr != nil || gerr != nil {
		t.Fatalf("user postgres has ids %s", strings.Join([]string{u.Uid, u.Gid}, " and "))
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
