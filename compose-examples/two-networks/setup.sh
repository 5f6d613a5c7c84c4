#!/bin/sh
# Makes, once, for each of the two networks a seed, a hub's key and configuration, and .env with what compose.yaml
# asks for.
set -eu
cd "$(dirname "$0")"
umask 077
# once FILE COMMAND...: makes a file of what the command prints, unless it is there; one that fails leaves none.
once() {
  [ -s "$1" ] || { file=$1; shift; "$@" >"$file.new"; mv "$file.new" "$file"; }
}
mkdir -p secrets
: >.env
# tunnel NAME SUBNET PORT
tunnel() {
  once "secrets/$1.seed" wgdriver keys seed
  once "secrets/$1.key" wg genkey
  wgdriver endpoint-config --seed-file "secrets/$1.seed" --private-key-file "secrets/$1.key" --listen-port "$3" \
    --format setconf --output "secrets/$1.conf" "$2"
  echo "$(echo "$1" | tr '[:lower:]' '[:upper:]')_PUBLIC_KEY=$(wg pubkey <"secrets/$1.key")" >>.env
}
tunnel blue 192.168.5.0/24 51820
tunnel green 192.168.6.0/24 51821
echo "SECRETS=$PWD/secrets" >>.env
