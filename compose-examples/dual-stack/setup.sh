#!/bin/sh
# Makes, once, the seed, the hub's key and configuration, and .env with what compose.yaml asks for.
set -eu
cd "$(dirname "$0")"
umask 077
# once FILE COMMAND...: makes a file of what the command prints, unless it is there; one that fails leaves none.
once() {
  [ -s "$1" ] || { file=$1; shift; "$@" >"$file.new"; mv "$file.new" "$file"; }
}
mkdir -p secrets
once secrets/seed wgdriver keys seed
once secrets/hub.key wg genkey
wgdriver endpoint-config --seed-file secrets/seed --private-key-file secrets/hub.key \
  --ipv6 fd12:3456:789a::/64 --format setconf --output secrets/hub.conf 192.168.5.0/24
cat >.env <<END
HUB_PUBLIC_KEY=$(wg pubkey <secrets/hub.key)
SEED_FILE=$PWD/secrets/seed
END
