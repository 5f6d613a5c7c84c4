#!/bin/sh
# node.sh HOST:PORT HUB_PUBLIC_KEY IP_RANGE: makes this node's config-only network, whose range no other node has.
set -eu
[ $# = 3 ] || { echo "usage: $0 HOST:PORT HUB_PUBLIC_KEY IP_RANGE" >&2; exit 2; }
docker network create --config-only --subnet 192.168.5.0/24 --gateway 192.168.5.1 --ip-range "$3" \
  -o io.bestov.wg.peer="$1" -o io.bestov.wg.peerkey="$2" -o io.bestov.wg.seedfile=app.seed wgnet-config
