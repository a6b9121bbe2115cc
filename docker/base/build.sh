#!/bin/sh
# Makes the base image that the other images build on, unless it is here already.
#
#   docker/base/build.sh [IMAGE]      default: polardb_pg/polardb_pg_base:bookworm
#
# Where a registry is in reach it is debian:bookworm-slim by another name. Where none is, the same is made of Debian's
# packages, from the mirror that this machine's own apt asks.
set -eu

image=${1:-polardb_pg/polardb_pg_base:bookworm}
release=bookworm

say() { printf 'base: %s\n' "$*"; }
die() {
    printf 'base: %s\n' "$@" >&2
    exit 1
}

command -v docker >/dev/null 2>&1 || die "there is no docker: install it (Debian: docker.io) and run this again"
said=$(docker version --format '{{.Server.Version}}' 2>&1) || die "no docker daemon answers: $said"
if docker image inspect "$image" >/dev/null 2>&1; then
    say "$image is here"
    exit 0
fi
if said=$(docker pull -q "debian:$release-slim" 2>&1); then
    docker tag "debian:$release-slim" "$image"
    say "$image is debian:$release-slim"
    exit 0
fi
say "debian:$release-slim cannot be pulled ($(printf '%s' "$said" | tail -n 1))"
command -v mmdebstrap >/dev/null 2>&1 ||
    die "nor can it be made of packages: there is no mmdebstrap; scripts/setup images installs it"

# The mirrors of this machine, if it knows this release; else those that mmdebstrap knows by itself.
mirror() { # mirror CODENAME
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $1" 2>/dev/null |
        head -n 1
}
debian=$(mirror "$release")
security=$(mirror "$release-security")

# How this machine's apt reaches them. The proxy is for the moment alone; an image has it from `docker build`, by the
# variables that docker knows: --build-arg http_proxy.
set --
eval "$(apt-config shell proxy Acquire::http::Proxy secure_proxy Acquire::https::Proxy \
    dates Acquire::Check-Date until Acquire::Check-Valid-Until)"
[ -z "${proxy:-}" ] || export http_proxy="$proxy"
[ -z "${secure_proxy:-}" ] || export https_proxy="$secure_proxy"
[ -z "${dates:-}" ] || set -- "$@" "--aptopt=Acquire::Check-Date \"$dates\""
[ -z "${until:-}" ] || set -- "$@" "--aptopt=Acquire::Check-Valid-Until \"$until\""

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say "making $image of Debian's packages, which takes a minute"
if [ -n "$debian" ]; then
    echo "deb $debian $release main"
    echo "deb $debian $release-updates main"
    [ -z "$security" ] || echo "deb $security $release-security main"
fi >"$folder/sources.list"
# As in debian:bookworm-slim: no manuals; licences stay.
mmdebstrap --quiet --variant=minbase --include=ca-certificates "$@" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-include=/usr/share/locale/locale.alias' \
    "$release" "$folder/base.tar" ${debian:+-} <"$folder/sources.list" ||
    die "mmdebstrap failed; what it said stands above"
docker import --change 'CMD ["bash"]' "$folder/base.tar" "$image" >/dev/null
say "$image is made"
