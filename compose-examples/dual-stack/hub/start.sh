#!/bin/sh
# The hub's end of the tunnels: a WireGuard link with a peer for each container.
set -eu
ip link add wg0 type wireguard 2>/dev/null || wireguard-go wg0
wg setconf wg0 /hub.conf
ip address add 192.168.5.1/24 dev wg0
ip address add fd12:3456:789a::c0a8:501/120 dev wg0
ip link set wg0 up
exec sleep infinity
