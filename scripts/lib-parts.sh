# shellcheck shell=bash
# lib-parts.sh - versions of the Kubernetes parts and where they lie in the cache. Sourced after lib.sh.
# A version here and in tests/cluster/parts must agree: cluster-parts checks it.

KUBE_APISERVER_VERSION=1.35.4
ETCD_VERSION=3.6.5
KWOK_VERSION=0.8.0
KUBECTL_VERSION=1.37.1
H2SPEC_VERSION=2.2.1+incompatible
CLIENT_GO_VERSION=0.36.1
PYTHON_KUBERNETES_VERSION=36.0.3
AUTHLIB_VERSION=1.3.2
OPENID_CLIENT_VERSION=5.7.1
GO_VERSION=1.26.6
GO_MINOR_MIN=26

PARTS=$CACHE/parts

# part_folder NAME : the folder of the wanted version. A part is whole if its folder exists.
part_folder() {
	case $1 in
	kube-apiserver) printf '%s\n' "$PARTS/kube-apiserver-$KUBE_APISERVER_VERSION" ;;
	etcd) printf '%s\n' "$PARTS/etcd-$ETCD_VERSION" ;;
	kwok) printf '%s\n' "$PARTS/kwok-$KWOK_VERSION" ;;
	kubectl-1.*) printf '%s-%s\n' "$PARTS/$1" "$(kubectl_package "${1#kubectl-}" | sed 's/.*@//')" ;;
	kubectl) printf '%s\n' "$PARTS/kubectl-$KUBECTL_VERSION" ;;
	h2spec) printf '%s\n' "$PARTS/h2spec-$H2SPEC_VERSION" ;;
	client-go) printf '%s\n' "$PARTS/client-go-$CLIENT_GO_VERSION-$(cat "$ROOT"/tests/cluster/parts/client-go/* | sha256sum | cut -c1-12)" ;;
	authlib) printf '%s\n' "$PARTS/authlib-$AUTHLIB_VERSION" ;;
	openid-client) printf '%s\n' "$PARTS/openid-client-$OPENID_CLIENT_VERSION-$(sha256sum <"$ROOT/tests/cluster/parts/openid-client/package-lock.json" | cut -c1-12)" ;;
	python-kubernetes) printf '%s\n' "$PARTS/python-kubernetes-$PYTHON_KUBERNETES_VERSION" ;;
	go) printf '%s\n' "$PARTS/go-$GO_VERSION" ;;
	*) die "no such part: $1" ;;
	esac
}

# kubectl_package MINOR : the npm package that has this kubectl, with its version.
kubectl_package() {
	local line
	line=$(grep "^${1//./\\.} " "$ROOT/tests/cluster/parts/kubectls.txt") || die "no such kubectl: $1 (tests/cluster/parts/kubectls.txt has those that there are)"
	line=${line#* }
	printf '%s\n' "${line% *}"
}

# The program of a part.
part_program() { printf '%s/%s\n' "$(part_folder "$1")" "${1%-1.*}"; }
