#!/bin/sh
# The hub's end of the tunnels, and 10.20.0.1, which stands for the office network behind it.
set -eu
ip link add wg0 type wireguard 2>/dev/null || wireguard-go wg0
wg setconf wg0 /hub.conf
ip address add 192.168.5.1/24 dev wg0
ip address add 10.20.0.1/32 dev lo
ip link set wg0 up
exec sleep infinity
