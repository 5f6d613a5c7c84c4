#!/bin/sh
# Makes sure that programs are there, by installing Debian packages. Each argument is PROGRAM=PACKAGE, or
# PROGRAM=PACKAGE|PACKAGE where releases of Debian differ: the first package that exists is taken.
# Says first what is missing. No service is started for it: while packages are set up, a policy-rc.d of ours
# forbids that, unless the machine has one of its own.
set -eu

policy=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin

missing=
for pair in "$@"; do
  command -v "${pair%%=*}" >/dev/null || missing="$missing $pair"
done
[ -n "$missing" ] || exit 0

echo "These programs are missing, and the packages behind them will be installed:$missing"
if [ "$(id -u)" != 0 ]; then
  echo "Installing packages needs root: run this as root, or install them yourself." >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT INT TERM HUP
if [ ! -e "$policy" ]; then
  trap 'rm -f "$log" "$policy"' EXIT INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
packages=
for pair in $missing; do
  for name in $(echo "${pair#*=}" | tr '|' ' '); do
    if apt-cache show "$name" 2>/dev/null | grep -q '^Package:'; then
      packages="$packages $name"
      break
    fi
  done
done
# Another may be installing at the same time, such as the lab what guests need.
# shellcheck disable=SC2086 # a list of names
apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 $packages >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
