// wrk with 32 connections and a valid token, in turns with the API alone and nginx as a plain proxy.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

const ROUNDS = 3;
const SECONDS = 4;

const rate = async (url, cookie, seconds = SECONDS) => {
  const headers = cookie ? ['-H', `Cookie: ${cookie}`] : [];
  const { stdout } = await promisify(execFile)('wrk', ['-t1', '-c32', `-d${seconds}s`, ...headers, url]);
  const wrong = /Non-2xx.*|Socket errors.*/.exec(stdout);
  if (wrong) throw new Error(`${url}: ${wrong[0].trim()}`);
  return Number(/Requests\/sec: *([\d.]+)/.exec(stdout)[1]);
};

export const throughput = async ({ peer, ports }, api) => {
  await provider.tokensLive(3600);
  const visitor = new Visitor(peer, ports);
  await visitor.logIn();
  const { outcome } = await visitor.call();
  visitor.leave();
  if (outcome !== '200') return { name: peer.name, wrong: `a user who has just logged in gets ${outcome}` };
  const fast = `http://127.0.0.1:${ports[0]}${(peer.api ?? '/api/orders').replace(/orders$/, 'fast')}`;
  const rounds = [];
  try {
    // What compiles itself as it runs gets the time for it.
    await rate(fast, visitor.cookies(), peer.warmUp ?? 3);
    for (let nth = 0; nth < ROUNDS; nth += 1) {
      rounds.push({
        api: await rate(`${api.url}/fast`),
        nginx: await rate(`${api.plainProxy}/fast`),
        peer: await rate(fast, visitor.cookies()),
      });
      console.error(`${peer.name} wrk:`, rounds.at(-1));
    }
  } catch (error) {
    return { name: peer.name, wrong: error.message };
  }
  return { name: peer.name, rounds };
};
