// The cases of one running peer. All users log in first, so that their tokens expire together:
// waiting is most of the time.
import { setTimeout as sleep } from 'node:timers/promises';

import { cases } from './cases.mjs';
import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

const LIFE = 6;

const liveTokens = async (client, tokens) => {
  const live = new Map();
  for (const token of new Set(tokens)) live.set(token, token !== '' && token !== '-' && (await provider.isLive(client, token)));
  return tokens.filter((token) => live.get(token)).length;
};

const difference = (after, before) => {
  const parts = {};
  for (const kind of ['granted', 'refused', 'outages']) parts[kind] = after[kind] - before[kind];
  return parts;
};

const storm = async (peer, { id, visitor }, api) => {
  const scene = cases[id];
  await provider.delay(scene.delay);
  if (scene.outage) await provider.unavailable(scene.outage);
  await visitor.warm(scene.callers);
  api.takeTokens();
  const before = await provider.counts(peer.client);
  const answers = await scene.act(visitor);
  // What was begun for those who left, and what a logout goes on with.
  await sleep(scene.delay + 300);
  const after = await provider.counts(peer.client);
  await provider.unavailable(0);
  await provider.delay(0);
  const tokens = api.takeTokens();
  const round = { id, visitor, answers, ...difference(after, before), sent: tokens.length };
  round.live = await liveTokens(peer.client, tokens);
  if (scene.logsOut) {
    // A login has one good refresh token, which this one has had since before.
    round.good = after.good - before.good + 1;
    const { outcome } = await visitor.call();
    round.afterwards = ['401', 'redirect'].includes(outcome) ? 'logged out' : `**session came back** (${outcome})`;
  }
  visitor.leave();
  return round;
};

const alive = async (peer, { visitor }, api) => {
  api.takeTokens();
  const { outcome } = await visitor.call();
  // The API writes its line after its answer.
  await sleep(100);
  const tokens = api.takeTokens();
  visitor.leave();
  if (outcome !== '200') return `**no** (${outcome})`;
  return (await liveTokens(peer.client, tokens)) === 1 ? 'yes' : '**no** (dead token)';
};

// One result for each case: { id, rounds }.
export const run = async (peer, ids, rounds, api) => {
  const life = LIFE + (peer.peer.leeway ?? 0);
  await provider.tokensLive(life);
  const plans = ids.flatMap((id) => Array.from({ length: rounds }, () => ({ id, visitor: new Visitor(peer.peer, peer.ports) })));
  for (const { visitor } of plans) {
    await visitor.logIn();
    const { outcome } = await visitor.call();
    if (outcome !== '200') throw new Error(`a user who has just logged in gets ${outcome}`);
  }
  // Peers count in whole seconds, and round up or down.
  await sleep(life * 1000 + 1100);
  const done = [];
  for (const plan of plans) {
    const round = await storm(peer, plan, api);
    console.error(`${peer.peer.name} ${plan.id}: ${round.granted} granted, ${round.refused} refused`);
    done.push(round);
  }
  await sleep(life * 1000 + 1100);
  for (const round of done) round.afterwards ??= await alive(peer, round, api);
  return ids.map((id) => ({ id, rounds: done.filter((round) => round.id === id) }));
};
