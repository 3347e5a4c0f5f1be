# shellcheck shell=bash
# lib.sh - what the scripts share: naming steps, Debian packages, ports, background programs.
# Sourced, never run. Owns: the lists of Debian packages, the cache folder's name.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${GATEHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse}

# What building and running need; the compiler first.
PACKAGES_BUILD=(build-essential pkg-config libssl-dev libjwt-dev libjansson-dev libmicrohttpd-dev liblmdb-dev
	libcurl4-openssl-dev libyaml-dev libcrypt-dev libseccomp-dev libnghttp2-dev)
# What quickstart and scripts/cluster call. python3-pip fetches kubectl (and Go, if it is missing or old).
PACKAGES_RUN=(openssl curl ca-certificates python3 python3-bcrypt util-linux procps)
PACKAGES_PARTS=(python3 python3-pip ca-certificates)
# What the tests call.
PACKAGES_CHECK=(haproxy libcmocka-dev python3-pytest python3-pytest-xdist python3-yaml python3-cryptography python3-jwt python3-requests python3-h2 python3-selenium chromium
	chromium-driver jq git nghttp2-client)
# What the slower tiers, make lint and make bench call. nginx and haproxy are never left running as services.
PACKAGES_SLOW=(clang llvm libclang-rt-14-dev cppcheck shellcheck pyflakes3 wrk nginx-light haproxy)

if [ -t 2 ]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi

# Names a step while it runs, on standard error, so that standard output stays free for results.
step() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		die "this needs root: $*"
	fi
}

# Prints those of the named Debian packages that are not installed.
packages_missing() {
	local package
	for package in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue
		# nginx-light is one of several packages that bring nginx: any of them will do
		[ "$package" = nginx-light ] && [ -x /usr/sbin/nginx ] && continue
		printf '%s\n' "$package"
	done
}

# Installs the named Debian packages where they are missing. Services that come with them are not started:
# for the length of the call /usr/sbin/policy-rc.d says no (a file of that name that is there already stays as it is).
packages_install() {
	local missing policy=/usr/sbin/policy-rc.d
	have apt-get || {
		have pkg-config && have curl && have openssl && return 0
		die "no apt-get here: install what Debian calls: $*"
	}
	mapfile -t missing < <(packages_missing "$@")
	[ "${#missing[@]}" -eq 0 ] && return 0
	step "Installing Debian packages: ${missing[*]}"
	if [ ! -e "$policy" ]; then
		note "($policy refuses to start services meanwhile, and is removed again)"
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	else
		policy=
	fi
	local status=0
	packages_apt "${missing[@]}" || status=$?
	[ -z "$policy" ] || as_root rm -f "$policy"
	[ "$status" -eq 0 ] || die "apt-get could not install: ${missing[*]}"
}

packages_apt() {
	local options=(-qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0) output
	output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" update 2>&1 &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install "$@" 2>&1) || {
		printf '%s\n' "$output" >&2
		return 1
	}
}

# Prints $1 TCP ports that were free on 127.0.0.1 a moment ago, all different, one a line: below the range from which the
# kernel takes the ports of outgoing connections, so that nobody gets them by chance meanwhile.
free_ports() {
	/usr/bin/python3 - "$1" <<-'PYTHON'
		import random, socket, sys
		first, ports = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0]), set()
		while len(ports) < int(sys.argv[1]):
		    port = random.randrange(20000, first if first > 21000 else 32000)
		    try:
		        socket.create_server(("127.0.0.1", port)).close()
		        ports.add(port)
		    except OSError:
		        pass
		print(*ports, sep="\n")
	PYTHON
}

port_is_free() {
	/usr/bin/python3 -c 'import socket, sys; socket.create_server((sys.argv[1], int(sys.argv[2])))' "${2:-127.0.0.1}" "$1" 2>/dev/null
}

# Background programs are remembered in FOLDER/run/NAME.pid as "pid start-time": the start time (clock ticks since
# boot) tells our process from a later one that got the same number.
# Prints nothing for a process that has ended, waited for or not.
process_start_time() { sed -n 's/.*) //; /^[^ZX] /p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# program_start FOLDER NAME COMMAND... : detached, with its output in FOLDER/log/NAME.log.
program_start() {
	local folder=$1 name=$2 pid
	shift 2
	mkdir -p "$folder/run" "$folder/log"
	setsid "$@" >>"$folder/log/$name.log" 2>&1 </dev/null 9>&- &
	pid=$!
	printf '%s %s\n' "$pid" "$(process_start_time "$pid")" >"$folder/run/$name.pid"
}

# Prints the pid of a program that still runs.
program_pid() {
	local pid started
	read -r pid started 2>/dev/null <"$1/run/$2.pid" || return 1
	[ -n "$started" ] && [ "$(process_start_time "$pid")" = "$started" ] && printf '%s\n' "$pid"
}

# process_ends PID SECONDS : waits until a process has ended, whoever its parent is; fails if it goes on.
process_ends() {
	/usr/bin/python3 - "$1" "$2" <<-'PYTHON'
		import os, select, sys
		try:
		    fd = os.pidfd_open(int(sys.argv[1]))
		except ProcessLookupError:
		    sys.exit(0)
		sys.exit(not select.select([fd], [], [], int(sys.argv[2]))[0])
	PYTHON
}

# program_stop FOLDER NAME [SIGNAL] : ends a program that we started: TERM, then KILL after 10 s. Nothing happens if it is gone.
program_stop() {
	local pid
	if pid=$(program_pid "$1" "$2"); then
		kill "-${3:-TERM}" "$pid" 2>/dev/null || true
		if ! process_ends "$pid" 10 && program_pid "$1" "$2" >/dev/null; then
			kill -KILL "$pid" 2>/dev/null || true
			process_ends "$pid" 10
		fi
	fi
	rm -f "$1/run/$2.pid"
}

# The last lines of a program's log, for an error message.
program_log_tail() { tail -n "${3:-15}" "$1/log/$2.log" 2>/dev/null | sed 's/^/    /' >&2; }

# wait_until SECONDS PROGRAM-FOLDER PROGRAM COMMAND... : repeats the command until it succeeds, the program has ended or the time is over.
wait_until() {
	local deadline=$((SECONDS + $1)) folder=$2 program=$3
	shift 3
	until "$@"; do
		program_pid "$folder" "$program" >/dev/null || {
			note "$program ended:"
			program_log_tail "$folder" "$program"
			return 1
		}
		[ "$SECONDS" -lt "$deadline" ] || {
			note "$program does not answer; its log ends:"
			program_log_tail "$folder" "$program"
			return 1
		}
		sleep 0.05
	done
}

# make_ca FOLDER NAME : FOLDER/NAME.pem and .key, once. P-256, ten years.
make_ca() {
	[ -s "$1/$2.pem" ] && [ -s "$1/$2.key" ] && return 0
	(
		umask 077
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 -subj "/CN=$2" \
			-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
			-keyout "$1/$2.key" -out "$1/$2.pem"
	) 2>/dev/null || die "openssl could not make $1/$2.pem"
	chmod 644 "$1/$2.pem"
}

# make_cert FOLDER CA NAME SUBJECT [SAN] : FOLDER/NAME.pem and .key signed by FOLDER/CA, for server and client use.
# Kept if it is there, is signed by that CA, has the same names and lasts 30 days more.
make_cert() {
	local folder=$1 ca=$2 name=$3 subject=$4 san=${5:-}
	if [ -s "$folder/$name.key" ] && [ "$(cat "$folder/$name.names" 2>/dev/null)" = "$subject $san" ] &&
		openssl x509 -in "$folder/$name.pem" -noout -checkend 2592000 >/dev/null 2>&1 &&
		openssl verify -CAfile "$folder/$ca.pem" "$folder/$name.pem" >/dev/null 2>&1; then
		return 0
	fi
	(
		umask 077
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "$subject" \
			-keyout "$folder/$name.key" -out "$folder/$name.csr" &&
			openssl x509 -req -in "$folder/$name.csr" -CA "$folder/$ca.pem" -CAkey "$folder/$ca.key" -sha256 -days 825 \
				-set_serial "0x$(openssl rand -hex 16)" -out "$folder/$name.pem" -extfile <(
					printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n'
					printf 'authorityKeyIdentifier=keyid\n'
					[ -z "$san" ] || printf 'subjectAltName=%s\n' "$san"
				)
	) 2>/dev/null || die "openssl could not make $folder/$name.pem"
	rm -f "$folder/$name.csr"
	chmod 644 "$folder/$name.pem"
	printf '%s %s\n' "$subject" "$san" >"$folder/$name.names"
}
