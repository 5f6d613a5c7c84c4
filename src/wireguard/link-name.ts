/** What a tunnel's link is called in its container: wg0, wg1, … by the engine's count. */
export const containerLinkPrefix = 'wg';
