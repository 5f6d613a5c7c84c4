import { formatPrefix } from '../address.ts';
import type { HubFile } from './hub.ts';

/** The hub's configuration for programs; the private key stays in its file, preshared keys do not. */
export async function* hubJson(hub: HubFile): AsyncGenerator<string> {
  const { interfaceName, addresses, listenPort, privateKeyFile, peers } = hub;
  const [address, ...more] = addresses.map(formatPrefix);
  const document = {
    interface: interfaceName,
    address,
    ...(more.length === 0 ? {} : { addresses: [address, ...more] }),
    listenPort,
    privateKeyFile,
    peers: [],
  };
  const end = ']\n}';
  yield JSON.stringify(document, null, 2).slice(0, -end.length);
  let separator = '';
  for await (const { publicKey, presharedKey, allowedIps } of peers) {
    const peer = JSON.stringify(
      { publicKey, presharedKey: presharedKey?.toBase64(), allowedIps: allowedIps.map(formatPrefix) },
      null,
      2,
    );
    yield `${separator}\n    ${peer.replaceAll('\n', '\n    ')}`;
    separator = ',';
  }
  yield `${separator === '' ? '' : '\n  '}${end}\n`;
}
