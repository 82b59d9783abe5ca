// A peer: a folder with `peer.json`, `install` and `start`.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { provider } from './provider.mjs';
import { freePort, serve, stop } from './servers.mjs';

const peers = dirname(dirname(fileURLToPath(import.meta.url)));

export const names = () => {
  const all = readdirSync(peers).filter((name) => existsSync(join(peers, name, 'peer.json')));
  return ['bff', ...all.filter((name) => name !== 'bff')];
};

export const load = (name) => ({ name, folder: join(peers, name), ...JSON.parse(readFileSync(join(peers, name, 'peer.json'))) });

const settings = (peer) => {
  const installed = join(process.env.PEERS_INSTALLED, peer.name);
  mkdirSync(installed, { recursive: true });
  return { PEER: peer.folder, INSTALLED: installed };
};

// Prints its version as the last line.
export const install = (peer) => {
  const output = execFileSync(join(peer.folder, 'install'), { env: { ...process.env, ...settings(peer) }, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
  return output.toString().trim().split('\n').at(-1);
};

// One process or two of them that share what they can share.
export const start = async (peer, processes, api, work) => {
  const ports = [];
  for (let nth = 0; nth < processes; nth += 1) ports.push(await freePort());
  const base = `http://127.0.0.1:${ports[0]}`;
  const client = await provider.register([base + peer.callback]);
  const children = [];
  for (const port of ports) {
    const folder = mkdtempSync(join(work, `${peer.name}-`));
    const env = {
      ...settings(peer),
      WORK: folder,
      PORT: port,
      // Of the first one: the browser knows one address.
      BASE_URL: base,
      ISSUER_URL: provider.issuer,
      CLIENT_ID: client.id,
      CLIENT_SECRET: client.secret,
      API_URL: api.url,
    };
    if (processes > 1 && peer.shares === 'redis') env.REDIS_URL = process.env.TEST_REDIS_URL;
    children.push(await serve(join(work, `${peer.name}.log`), port, join(peer.folder, 'start'), [], env, 120));
  }
  return { peer, ports, client, stop: () => Promise.all(children.map(stop)) };
};
