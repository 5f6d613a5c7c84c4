#!/bin/sh
# setup.sh HOST, as root: makes the hub's link on this host, the phone's configuration, and .env with what compose.yaml asks
# for. HOST is the name or address by which the phone reaches this host. Run it again after a reboot.
set -eu
[ $# = 1 ] || { echo "usage: $0 HOST" >&2; exit 2; }
cd "$(dirname "$0")"
umask 077
link=wg-home
# once FILE COMMAND...: makes a file of what the command prints, unless it is there; one that fails leaves none.
once() {
  [ -s "$1" ] || { file=$1; shift; "$@" >"$file.new"; mv "$file.new" "$file"; }
}
mkdir -p secrets
once secrets/seed wgdriver keys seed
once secrets/phone.seed wgdriver keys seed
once secrets/hub.key wg genkey

ip link show dev $link >/dev/null 2>&1 || ip link add dev $link type wireguard || wireguard-go $link
wg set $link private-key secrets/hub.key listen-port 51820
ip address replace 192.168.5.1/24 dev $link
ip link set dev $link up

# Peers reach one another through the hub, which forwards; and Docker drops what is forwarded unless a rule lets it pass.
sysctl -qw net.ipv4.conf.$link.forwarding=1
allow() {
  iptables -C DOCKER-USER "$@" -j ACCEPT 2>/dev/null || iptables -I DOCKER-USER "$@" -j ACCEPT
}
allow -i $link
allow -o $link -m conntrack --ctstate RELATED,ESTABLISHED

# The driver keeps the containers' peers on the link. The phone's is yours, and its key comes from a seed of its own.
wgdriver client-config --seed-file secrets/phone.seed --hub-key "$(wg pubkey <secrets/hub.key)" --endpoint "$1:51820" \
  --allowed-ips 192.168.5.0/24 --output secrets/phone.conf 192.168.5.9
wg set $link peer "$(sed -n 's/^PrivateKey = //p' secrets/phone.conf | wg pubkey)" allowed-ips 192.168.5.9/32

cat >.env <<END
SEED_FILE=$PWD/secrets/seed
END
