package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// keyLife is how long a key is valid where nothing else is asked for.
const keyLife = 10 * 365 * 24 * time.Hour

// keysCommand prints the keys that a secret makes, one a line, in the form of shell
// variables.
func keysCommand(getenv func(string) string) *cobra.Command {
	var secret string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Print the anon and service_role keys of a secret",
		Long: "keys prints ANON_KEY=… and SERVICE_ROLE_KEY=…, JWTs that a server with the same\n" +
			"--jwt-secret takes: the first calls functions, the second the admin interface too.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), getenv); err != nil {
				return err
			}
			if secret == "" {
				return errors.New("want the secret in --jwt-secret or " + envPrefix + "JWT_SECRET")
			}
			if len(secret) < leastSecret {
				return fmt.Errorf("jwt-secret: want at least %d bytes", leastSecret)
			}
			if life <= 0 {
				return fmt.Errorf("valid-for %s: want a value above zero", life)
			}
			for _, key := range []struct {
				name string
				role edge.Role
			}{{"ANON_KEY", edge.RoleAnon}, {"SERVICE_ROLE_KEY", edge.RoleService}} {
				token, err := edge.MintKey([]byte(secret), key.role, time.Now().Add(life))
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s=%s\n", key.name, token); err != nil {
					return fmt.Errorf("print the keys: %w", err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&secret, "jwt-secret", "", "the server's secret")
	cmd.Flags().DurationVar(&life, "valid-for", keyLife, "how long the keys are valid")
	return cmd
}
