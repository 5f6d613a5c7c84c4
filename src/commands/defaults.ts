/** The driver's name, and so what its socket is called: the article's. */
export const defaultPluginName = 'wireguard-plugin';

/** Where the engine looks for the sockets of plugins (docs.docker.com, Docker Plugin API). */
export const pluginFolder = '/run/docker/plugins';

export const stateFolder = '/var/lib/wgdriver';
