/** How scripts of bash(1) on a machine with an engine begin: they end at the first failure, and have these functions. */
export const machineFunctions = `
  set -euo pipefail

  # ping_from CONTAINER ADDRESS: until one is answered, in the container's network, by this machine's ping
  ping_from() {
    local sandbox tries=20
    sandbox=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' $1)
    until nsenter --net=$sandbox ping -c 1 -W 1 $2; do ((tries -= 1)) || return 1; sleep 0.2; done
  }

  # The names of all links of this namespace.
  show_links() { ls /sys/class/net; }
`;
