package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// secretVariable is where the reference server looks for the secret of its keys.
const secretVariable = "REFSERVER_JWT_SECRET"

// referenceKeys makes a secret for a reference server that is to be started: env is
// for its environment, and keys are ANON_KEY and SERVICE_ROLE_KEY for scenarios.
func referenceKeys(ctx context.Context, program string) (env []string, keys []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	env = []string{secretVariable + "=" + rand.Text() + rand.Text()}
	cmd := exec.CommandContext(ctx, program, "keys")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(failed.Stderr))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make keys with %s: %w", program, err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if strings.Contains(lines.Text(), "=") {
			keys = append(keys, lines.Text())
		}
	}
	return env, keys, nil
}
