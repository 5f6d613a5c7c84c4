/** How scripts of bash(1) on a machine with an engine begin: they end at the first failure, and have these functions. */
export const machineFunctions = `
  set -euo pipefail

  # ping_from CONTAINER ADDRESS: until one is answered, in the container's network, by this machine's ping
  ping_from() {
    local sandbox tries=20
    sandbox=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' $1)
    until nsenter --net=$sandbox ping -c 1 -W 1 $2; do ((tries -= 1)) || return 1; sleep 0.2; done
  }

  # follows_networks CONTAINER: is a network that is connected now reached, as the kill switch has it once it was told?
  follows_networks() {
    docker network create late >/dev/null
    docker network connect late $1
    ping_from $1 $(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' late)
    docker network disconnect late $1
    docker network rm late >/dev/null
  }

  # The names of all links of this namespace.
  show_links() { ls /sys/class/net; }
`;

/**
 * Waits until a driver that runs has no link here and no file in its folder of state: the record of a Join stays as long
 * as the container's protection, which is ten seconds after a disconnect and up to a second after the container's end.
 */
export const untilNothingLeft = (stateFolder: string) => `
  for try in {1..30}; do
    left="$(show_links | grep ^wg || true)$(find ${stateFolder} -type f)"
    [ -n "$left" ] || break
    sleep 1
  done
  [ -z "$left" ] || { echo "left behind: $left"; exit 1; }
`;
