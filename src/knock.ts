import { connect } from 'node:net';

/** What came of connecting to a unix socket: somebody listens, nothing is there, or nobody listens. */
export type Knock = 'answered' | 'ENOENT' | 'ECONNREFUSED';

/** Does somebody listen on the unix socket at `path`? @throws Error if that cannot be told */
export function knock(path: string): Promise<Knock> {
  return new Promise((resolve, reject) => {
    const connection = connect(path);
    connection.once('connect', () => {
      connection.destroy();
      resolve('answered');
    });
    connection.once('error', (error: NodeJS.ErrnoException) => {
      const { code } = error;
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        resolve(code);
      } else {
        reject(new Error(`socket ${path}: ${code ?? error.message}`));
      }
    });
  });
}
