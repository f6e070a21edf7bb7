//go:build servers

// Package servers pins the control plane that the tests, the demo and the
// benchmark run against. It has no code: the imports keep the modules in go.mod.
package servers

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
