#!/bin/sh
# Runs on the hub, as root, beside wg0.conf: brings the tunnel up, and lets it reach the Internet.
set -eu
cd "$(dirname "$0")"
wg-quick up ./wg0.conf
sysctl -qw net.ipv4.ip_forward=1
iptables -t nat -A POSTROUTING -s 192.168.5.0/24 ! -o wg0 -j MASQUERADE
