#!/bin/sh
# setup.sh HOST:PORT HUB_PUBLIC_KEY: makes, once, the seed, and .env with what compose.yaml asks for; and the hub's
# configuration, which holds no secret.
set -eu
[ $# = 2 ] || { echo "usage: $0 HOST:PORT HUB_PUBLIC_KEY" >&2; exit 2; }
cd "$(dirname "$0")"
umask 077
# once FILE COMMAND...: makes a file of what the command prints, unless it is there; one that fails leaves none.
once() {
  [ -s "$1" ] || { file=$1; shift; "$@" >"$file.new"; mv "$file.new" "$file"; }
}
mkdir -p secrets
once secrets/seed wgdriver keys seed
wgdriver endpoint-config --seed-file secrets/seed --listen-port "${1##*:}" --output secrets/wg0.conf \
  192.168.5.0/24
cat >.env <<END
HUB=$1
HUB_PUBLIC_KEY=$2
SEED_FILE=$PWD/secrets/seed
END
