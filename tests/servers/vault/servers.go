//go:build servers

// Package servers pins the Vault that the tests, the demo and the benchmark
// run against. It has no code: the imports keep the modules in go.mod.
package servers

import (
	_ "github.com/hashicorp/vault"
	_ "github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes"
)
