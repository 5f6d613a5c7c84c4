#!/bin/sh
# setup.sh HOST:PORT HUB_PUBLIC_KEY: makes, once, the seed, and .env with what compose.yaml asks for; and the hub's
# configuration, which holds no secret.
set -eu
[ $# = 2 ] || { echo "usage: $0 HOST:PORT HUB_PUBLIC_KEY" >&2; exit 2; }
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
[ -e secrets/seed ] || wgdriver keys seed >secrets/seed
wgdriver endpoint-config --seed-file secrets/seed --listen-port "${1##*:}" --output secrets/wg0.conf \
  192.168.5.0/24
cat >.env <<END
HUB=$1
HUB_PUBLIC_KEY=$2
SEED_FILE=$PWD/secrets/seed
END
