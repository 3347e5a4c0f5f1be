//go:build tools

// Package parts names the program that scripts/cluster-parts builds, so that
// go.mod and go.sum hold what it needs.
package parts

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
)
