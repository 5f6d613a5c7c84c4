#!/bin/sh
# Makes, once, for each of the two networks a seed, a hub's key and configuration, and .env with what compose.yaml
# asks for.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
: >.env
# tunnel NAME SUBNET PORT
tunnel() {
  [ -e "secrets/$1.seed" ] || wgdriver keys seed >"secrets/$1.seed"
  [ -e "secrets/$1.key" ] || wg genkey >"secrets/$1.key"
  wgdriver endpoint-config --seed-file "secrets/$1.seed" --private-key-file "secrets/$1.key" --listen-port "$3" \
    --format setconf --output "secrets/$1.conf" "$2"
  echo "$(echo "$1" | tr '[:lower:]' '[:upper:]')_PUBLIC_KEY=$(wg pubkey <"secrets/$1.key")" >>.env
}
tunnel blue 192.168.5.0/24 51820
tunnel green 192.168.6.0/24 51821
echo "SECRETS=$PWD/secrets" >>.env
