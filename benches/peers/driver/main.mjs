// Every peer, every case, one table. Arguments: names of peers and of cases, in any order; none is all.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { cases, THROUGHPUT } from './cases.mjs';
import { install, load, names, start } from './peer.mjs';
import { run } from './run.mjs';
import { startApi } from './servers.mjs';
import { head, plainRows, row } from './table.mjs';
import { throughput } from './throughput.mjs';

const ROUNDS = 2;

const known = [...names(), ...Object.keys(cases), THROUGHPUT];
const unknown = process.argv.slice(2).filter((word) => !known.includes(word));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; there is ${known.join(', ')}`);
  process.exit(2);
}
const chosen = (all) => {
  const some = all.filter((name) => process.argv.includes(name, 2));
  return some.length > 0 ? some : all;
};

const work = mkdtempSync(join(tmpdir(), 'peers-'));
const api = await startApi(work);
const wanted = chosen([...Object.keys(cases), THROUGHPUT]);
const [rows, versions, rates, leftOut] = [[], [], [], []];

const measure = async (peer) => {
  const alone = await start(peer, 1, api, work);
  try {
    const ids = wanted.filter((id) => cases[id] && !cases[id].processes);
    for (const result of await run(alone, ids, ROUNDS, api)) rows.push(row(peer, result));
    if (wanted.includes(THROUGHPUT)) rates.push(await throughput(alone, api));
  } finally {
    await alone.stop();
  }
  const shared = wanted.filter((id) => cases[id]?.processes);
  if (shared.length === 0) return;
  if (!peer.shares) {
    for (const id of shared) rows.push(row(peer, { id, none: peer.sharesNot ?? 'no shared store' }));
    return;
  }
  const two = await start(peer, 2, api, work);
  try {
    for (const result of await run(two, shared, ROUNDS, api)) rows.push(row(peer, result));
  } finally {
    await two.stop();
  }
};

for (const peer of chosen(names()).map(load)) {
  console.error(`${peer.name}: installing`);
  try {
    versions.push(`- \`${peer.name}\`: ${peer.title} ${install(peer)}`);
  } catch (error) {
    leftOut.push(`- \`${peer.name}\`: not installed: ${String(error.stderr ?? error).trim().split('\n').at(-1)}`);
    continue;
  }
  try {
    await measure(peer);
  } catch (error) {
    console.error(error);
    leftOut.push(`- \`${peer.name}\`: ${error.message.split('\n')[0]}`);
  }
}

console.log([...head, ...rows].join('\n'));
if (rates.length > 0) console.log(`\n${plainRows(rates).join('\n')}`);
console.log(`\n${versions.join('\n')}`);
if (leftOut.length > 0) console.log(`\nLeft out:\n\n${leftOut.join('\n')}`);
if (process.env.KEEP_LOGS) console.error(`logs: ${work}`);
else rmSync(work, { recursive: true });
process.exit(0);
