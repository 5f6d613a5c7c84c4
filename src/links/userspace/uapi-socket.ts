import { connect } from 'node:net';

/** Where every userspace implementation puts its configuration socket, by the link's first name. */
const socketFolder = '/var/run/wireguard';
/** The path of a link's configuration socket, by the name that the link was made with. */
export const uapiSocketOf = (name: string): string => `${socketFolder}/${name}.sock`;

/** An implementation answers within milliseconds, or something is wrong with it. */
const answerTimeoutMs = 10_000;

/**
 * Asks a link's implementation something: sends one request and reads up to the empty line that ends the
 * answer. It goes by the name that the link was made with, wherever the link is by now.
 * @throws Error, with code ENOENT if no implementation has such a link
 */
export function requestUapi(name: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: string[] = [];
    let end = '';
    const socket = connect(uapiSocketOf(name), () => socket.write(request));
    socket.setEncoding('utf8');
    socket.setTimeout(answerTimeoutMs, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('data', (text: string) => {
      chunks.push(text);
      // Of the end alone: to look at all that has come so far, each time, takes a minute for a hub's 65,000 peers.
      end = (end + text).slice(-2);
      if (end === '\n\n') {
        socket.end();
        resolve(chunks.join(''));
      }
    });
    socket.on('close', () => reject(new Error('closed before it answered')));
  });
}
