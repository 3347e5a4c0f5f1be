//go:build tools

// Package parts names the programs that scripts/cluster-parts builds, so that
// go.mod and go.sum hold what they need.
package parts

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
