import { Buffer } from 'node:buffer';
import {
  clamp,
  type PresharedKey,
  PrivateKey,
  parsePresharedKey,
  publicKeyOf,
} from '../../src/wireguard/key.ts';

/** Keys that nobody uses. */
export const privateKey = new PrivateKey(clamp(Buffer.alloc(32, 0x11)));
export const peerKey = publicKeyOf(new PrivateKey(clamp(Buffer.alloc(32, 0x22))));
export const secondPeerKey = publicKeyOf(new PrivateKey(clamp(Buffer.alloc(32, 0x33))));
export const presharedKey = parsePresharedKey(Buffer.alloc(32, 0x44).toString('base64')) as PresharedKey;

/** What a reader is to find, in the spelling of the fields of `wg show`. */
export interface Shape {
  readonly who: string;
  readonly text: string;
  readonly addresses: readonly string[];
  readonly dns?: readonly string[];
  readonly searchDomains?: readonly string[];
  readonly mtu?: number;
  readonly listenPort?: number;
  readonly fwmark?: number;
  readonly ignored?: readonly string[];
  readonly peers: readonly {
    readonly publicKey: string;
    readonly preshared?: true;
    readonly endpoint?: string;
    readonly keepalive?: number;
    readonly allowedIps: readonly string[];
  }[];
}

function filled(text: string): string {
  return text
    .replaceAll('PRIVATE', privateKey.toBase64())
    .replaceAll('PEER2', secondPeerKey)
    .replaceAll('PEER', peerKey)
    .replaceAll('PSK', presharedKey.toBase64());
}

const everything = ['0.0.0.0/0', '::/0'];

/** Files in the shapes that providers, routers, front ends and tutorials give out; all that is in them is made up. */
export const shapes: readonly Shape[] = [
  {
    who: 'Mullvad',
    text: filled(
      '[Interface]\n# Device: Made Up\nPrivateKey = PRIVATE\nAddress = 10.66.1.2/32,fc00:bbbb:bbbb:bb01::3:101/128\n' +
        'DNS = 10.64.0.1\n\n[Peer]\nPublicKey = PEER\nAllowedIPs = 0.0.0.0/0,::0/0\nEndpoint = 192.0.2.66:51820',
    ),
    addresses: ['10.66.1.2/32', 'fc00:bbbb:bbbb:bb01::3:101/128'],
    dns: ['10.64.0.1'],
    peers: [{ publicKey: peerKey, endpoint: '192.0.2.66:51820', allowedIps: everything }],
  },
  {
    who: 'Proton',
    text: filled(
      '[Interface]\n# Bouncing = 1\n# NetShield = 0\n# Moderate NAT = off\n# VPN Accelerator = on\nPrivateKey = PRIVATE\n' +
        'Address = 10.2.0.2/32\nDNS = 10.2.0.1\n\n[Peer]\n# XX-FREE#12\nPublicKey = PEER\nAllowedIPs = 0.0.0.0/0, ::/0\n' +
        'Endpoint = 192.0.2.7:51820\nPersistentKeepalive = 25\n',
    ),
    addresses: ['10.2.0.2/32'],
    dns: ['10.2.0.1'],
    peers: [{ publicKey: peerKey, endpoint: '192.0.2.7:51820', keepalive: 25, allowedIps: everything }],
  },
  {
    who: 'Nord, by the tools that ask its API',
    text: filled(
      '[Interface]\nPrivateKey = PRIVATE\nListenPort = 51820\nAddress = 10.5.0.2/16\nDNS = 192.0.2.100, 192.0.2.101\n\n' +
        '[Peer]\nPublicKey = PEER\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = xx123.example.com:51820\nPersistentKeepalive = 25\n',
    ),
    addresses: ['10.5.0.2/16'],
    dns: ['192.0.2.100', '192.0.2.101'],
    listenPort: 51820,
    peers: [
      { publicKey: peerKey, endpoint: 'xx123.example.com:51820', keepalive: 25, allowedIps: everything },
    ],
  },
  {
    who: 'Surfshark',
    text: filled(
      '#\n# Use this configuration with WireGuard client\n#\n[Interface]\nAddress = 10.14.0.2/16\nPrivateKey = PRIVATE\n' +
        'DNS = 192.0.2.57, 192.0.2.92\n[Peer]\nPublicKey = PEER\nAllowedIPs = 0.0.0.0/0\nEndpoint = xx-nyc.prod.example.com:51820\n',
    ),
    addresses: ['10.14.0.2/16'],
    dns: ['192.0.2.57', '192.0.2.92'],
    peers: [{ publicKey: peerKey, endpoint: 'xx-nyc.prod.example.com:51820', allowedIps: ['0.0.0.0/0'] }],
  },
  {
    who: 'AirVPN',
    text: filled(
      '[Interface]\r\nAddress = 10.131.0.2/32,fd7d:76ee:e68f:a993::2/128\r\nPrivateKey = PRIVATE\r\nMTU = 1320\r\n' +
        'DNS = 10.128.0.1,fd7d:76ee:e68f:a993::1\r\n\r\n[Peer]\r\nPublicKey = PEER\r\nPresharedKey = PSK\r\n' +
        'Endpoint = europe3.example.org:1637\r\nAllowedIPs = 0.0.0.0/0,::/0\r\nPersistentKeepalive = 15\r\n',
    ),
    addresses: ['10.131.0.2/32', 'fd7d:76ee:e68f:a993::2/128'],
    dns: ['10.128.0.1', 'fd7d:76ee:e68f:a993::1'],
    mtu: 1320,
    peers: [
      {
        publicKey: peerKey,
        preshared: true,
        endpoint: 'europe3.example.org:1637',
        keepalive: 15,
        allowedIps: everything,
      },
    ],
  },
  {
    who: 'Windscribe and IVPN: a /32 of 100.64.0.0/10 or 172.16.0.0/12',
    text: filled(
      '[Interface]\nPrivateKey = PRIVATE\nAddress = 100.64.7.7/32\nDNS = 10.255.255.2\n\n[Peer]\nPublicKey = PEER\n' +
        'AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = xx-123-wg.example.net:443\nPresharedKey = PSK\n',
    ),
    addresses: ['100.64.7.7/32'],
    dns: ['10.255.255.2'],
    peers: [
      { publicKey: peerKey, preshared: true, endpoint: 'xx-123-wg.example.net:443', allowedIps: everything },
    ],
  },
  {
    who: 'wg-easy, a client',
    text: filled(
      '\n[Interface]\nPrivateKey = PRIVATE\nAddress = 10.8.0.2/24\nDNS = 1.1.1.1\n\n\n[Peer]\nPublicKey = PEER\nPresharedKey = PSK\n' +
        'AllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = 0\nEndpoint = vpn.example.com:51820',
    ),
    addresses: ['10.8.0.2/24'],
    dns: ['1.1.1.1'],
    peers: [
      {
        publicKey: peerKey,
        preshared: true,
        endpoint: 'vpn.example.com:51820',
        keepalive: 0,
        allowedIps: everything,
      },
    ],
  },
  {
    who: 'wg-easy, its server',
    text: filled(
      '\n# Note: Do not edit this file directly.\n# Your changes will be overwritten!\n\n# Server\n[Interface]\nPrivateKey = PRIVATE\n' +
        'Address = 10.8.0.1/24\nListenPort = 51820\nPreUp = \nPostUp =  iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE; iptables -A INPUT -p udp -m udp --dport 51820 -j ACCEPT; \n' +
        'PreDown = \nPostDown =  iptables -t nat -D POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE; \n\n\n' +
        '# Client: one (0a1b)\n[Peer]\nPublicKey = PEER\nPresharedKey = PSK\nAllowedIPs = 10.8.0.2/32\n\n# Client: two (2c3d)\n[Peer]\nPublicKey = PEER2\nAllowedIPs = 10.8.0.3/32\n',
    ),
    addresses: ['10.8.0.1/24'],
    listenPort: 51820,
    ignored: ['PreUp', 'PostUp', 'PreDown', 'PostDown'],
    peers: [
      { publicKey: peerKey, preshared: true, allowedIps: ['10.8.0.2/32'] },
      { publicKey: secondPeerKey, allowedIps: ['10.8.0.3/32'] },
    ],
  },
  {
    who: 'OPNsense',
    text: filled(
      '[Interface]\nPrivateKey = PRIVATE\nAddress = 10.10.10.2/32,fd10::2/128\nDNS = 10.10.10.1\nMTU = 1412\n\n[Peer]\nPublicKey = PEER\n' +
        'PresharedKey = PSK\nEndpoint = fw.example.org:51821\nAllowedIPs = 10.10.10.0/24,192.168.1.0/24,fd10::/64\nPersistentKeepalive = 25\n',
    ),
    addresses: ['10.10.10.2/32', 'fd10::2/128'],
    dns: ['10.10.10.1'],
    mtu: 1412,
    peers: [
      {
        publicKey: peerKey,
        preshared: true,
        endpoint: 'fw.example.org:51821',
        keepalive: 25,
        allowedIps: ['10.10.10.0/24', '192.168.1.0/24', 'fd10::/64'],
      },
    ],
  },
  {
    who: 'UniFi',
    text: filled(
      '[Interface]\nPrivateKey = PRIVATE\nAddress = 192.168.3.2/32\nDNS = 192.168.3.1\n\n[Peer]\nPublicKey = PEER\n' +
        'AllowedIPs = 192.168.3.1/32,192.168.3.2/32,0.0.0.0/0\nEndpoint = 192.0.2.10:51820\n',
    ),
    addresses: ['192.168.3.2/32'],
    dns: ['192.168.3.1'],
    peers: [
      {
        publicKey: peerKey,
        endpoint: '192.0.2.10:51820',
        allowedIps: ['192.168.3.1/32', '192.168.3.2/32', '0.0.0.0/0'],
      },
    ],
  },
  {
    who: 'FRITZ!Box',
    text: filled(
      '[Interface]\nPrivateKey = PRIVATE\nAddress = 192.168.178.202/24,fd00:de:ad::202/64\nDNS = 192.168.178.1,fd00:de:ad::1\nDNS = fritz.box\n\n' +
        '[Peer]\nPublicKey = PEER\nPresharedKey = PSK\nAllowedIPs = 192.168.178.0/24,0.0.0.0/0,fd00:de:ad::/64,::/0\n' +
        'Endpoint = abcdefghijklmnop.example.net:54321\nPersistentKeepalive = 25',
    ),
    addresses: ['192.168.178.202/24', 'fd00:de:ad::202/64'],
    dns: ['192.168.178.1', 'fd00:de:ad::1'],
    searchDomains: ['fritz.box'],
    peers: [
      {
        publicKey: peerKey,
        preshared: true,
        endpoint: 'abcdefghijklmnop.example.net:54321',
        keepalive: 25,
        allowedIps: ['192.168.178.0/24', '0.0.0.0/0', 'fd00:de:ad::/64', '::/0'],
      },
    ],
  },
  {
    who: 'a `wg genkey` tutorial',
    text: filled(
      '[Interface]\nAddress=10.0.0.2/24\nPrivateKey=PRIVATE\nPostUp=ufw route allow in on wg0\nSaveConfig=true\nTable=off\n\n' +
        '[Peer]\nPublicKey=PEER\nEndpoint=192.0.2.1:51820\nAllowedIPs=10.0.0.0/24\nPersistentKeepalive=25\n',
    ),
    addresses: ['10.0.0.2/24'],
    ignored: ['PostUp', 'SaveConfig', 'Table'],
    peers: [{ publicKey: peerKey, endpoint: '192.0.2.1:51820', keepalive: 25, allowedIps: ['10.0.0.0/24'] }],
  },
  {
    who: 'somebody who types as they like',
    text: filled(
      '\ufeff  # from the admin\r\n\t[interface]   # mine\r\nprivate key=PRIVATE # secret\r\nADDRESS = 10.0.0.2/24 fd00::2/64,  \r\naddress=10.0.1.2/24\r\n' +
        'dns=10.0.0.1 10.0.0.3,example.org\r\nmtu = 1380\r\nfwmark = 0xCA6C\r\nlistenport = 0\r\n\r\n[pEER]\r\npublickey=PEER\r\nallowed ips = 10.0.0.0/24 , 2001:db8::5\r\n' +
        'AllowedIPs=192.168.7.9\r\nendpoint = [2001:db8::1]:443\r\npersistentkeepalive=OFF\r\n[peer]\r\nPublicKey=PEER2\r\nEndpoint=2001:db8::2:51820\r\nPRESHAREDKEY = PSK',
    ),
    addresses: ['10.0.0.2/24', 'fd00::2/64', '10.0.1.2/24'],
    dns: ['10.0.0.1', '10.0.0.3'],
    searchDomains: ['example.org'],
    mtu: 1380,
    fwmark: 0xca6c,
    listenPort: 0,
    peers: [
      {
        publicKey: peerKey,
        endpoint: '[2001:db8::1]:443',
        keepalive: 0,
        allowedIps: ['10.0.0.0/24', '2001:db8::5/128', '192.168.7.9/32'],
      },
      { publicKey: secondPeerKey, preshared: true, endpoint: '[2001:db8::2]:51820', allowedIps: [] },
    ],
  },
];
