/** libnetwork's labels, with their names in moby's daemon/libnetwork/netlabel; the keys of a request's Options. */
export const GenericData = 'com.docker.network.generic';
export const EnableIPv6 = 'com.docker.network.enable_ipv6';
/** The MTU of a network, in bytes. */
export const DriverMTU = 'com.docker.network.driver.mtu';
export const Internal = 'com.docker.network.internal';
/** What links are called in containers, less their number. */
export const ContainerIfacePrefix = 'com.docker.network.container_iface_prefix';
/** What `docker run -p` asks of an endpoint. */
export const PortMap = 'com.docker.network.portmap';
/**
 * The servers of `docker run --dns` or of the engine's own setting. They come with the network that a container is
 * started on, and not with those that are connected to it later.
 */
export const DNSServers = 'com.docker.network.endpoint.dnsservers';
