#!/bin/sh
# Makes, once, the seed in /etc/wgdriver, the hub's key, and .env with what compose.yaml asks for. As root.
set -eu
cd "$(dirname "$0")"
umask 077
# once FILE COMMAND...: makes a file of what the command prints, unless it is there; one that fails leaves none.
once() {
  [ -s "$1" ] || { file=$1; shift; "$@" >"$file.new"; mv "$file.new" "$file"; }
}
mkdir -p secrets /etc/wgdriver
once /etc/wgdriver/app.seed wgdriver keys seed
once secrets/hub.key wg genkey
echo "HUB_PUBLIC_KEY=$(wg pubkey <secrets/hub.key)" >.env
