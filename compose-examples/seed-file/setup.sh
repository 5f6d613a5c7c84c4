#!/bin/sh
# Makes, once, the seed in /etc/wgdriver, the hub's key, and .env with what compose.yaml asks for. As root.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets /etc/wgdriver
[ -e /etc/wgdriver/app.seed ] || wgdriver keys seed >/etc/wgdriver/app.seed
[ -e secrets/hub.key ] || wg genkey >secrets/hub.key
echo "HUB_PUBLIC_KEY=$(wg pubkey <secrets/hub.key)" >.env
