#!/bin/sh
# The hub's ends of the tunnels, one link for each network. It does not forward between them.
set -eu
# link NAME ADDRESS
link() {
  ip link add "$1" type wireguard 2>/dev/null || wireguard-go "$1"
  wg setconf "$1" "/secrets/$1.conf"
  ip address add "$2" dev "$1"
  ip link set "$1" up
}
link blue 192.168.5.1/24
link green 192.168.6.1/24
exec sleep infinity
