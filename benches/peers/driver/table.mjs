// What was measured, as Markdown.
import { cases } from './cases.mjs';

export const head = [
  '| peer | case | token requests | answers | live tokens at the API | p50 | p99 | afterwards |',
  '|---|---|---|---|---|---|---|---|',
];

// Both rounds where they differ.
const both = (texts) => (new Set(texts).size === 1 ? texts[0] : texts.join(' / '));

const requests = ({ granted, refused, outages }) => {
  const wrong = [outages && `${outages} met 503`, refused && `${refused} refused`].filter(Boolean);
  return `${granted + refused + outages}${wrong.length > 0 ? ` (${wrong.join(', ')})` : ''}`;
};

const outcomes = ({ answers }) => {
  const counts = new Map();
  for (const { outcome } of answers) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts].map(([outcome, count]) => `${count} x ${outcome}`).join(', ');
};

const quantile = (share) => ({ answers }) => {
  const times = answers.map(({ took }) => took).filter((took) => took !== undefined).sort((a, b) => a - b);
  return times.length === 0 ? '-' : times[Math.max(0, Math.ceil(times.length * share) - 1)].toFixed(0);
};

const afterwards = ({ afterwards: text, good }) => (good === undefined ? text : `${text}, ${good > 0 ? '**refresh token still good**' : 'refresh token dead'}`);

const NONE = ['-', '-', '-', '-', '-'];

export const row = (peer, { id, rounds, none }) => {
  const cells = none
    ? [none, ...NONE]
    : [requests, outcomes, ({ live, sent }) => `${live} of ${sent}`, quantile(0.5), quantile(0.99), afterwards].map((cell) => both(rounds.map(cell)));
  return `| ${peer.name} | ${id}: ${cases[id].title} | ${cells.join(' | ')} |`;
};

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

export const plainRows = (rates) => [
  '| peer | requests/s | of the API alone | of nginx as a plain proxy |',
  '|---|---|---|---|',
  ...rates.map(({ name, rounds, wrong }) => {
    const ratio = (other) => median(rounds.map((round) => round.peer / round[other])).toFixed(2);
    const rate = median(rounds.map((round) => round.peer)).toFixed(0);
    return wrong ? `| ${name} | ${wrong} | - | - |` : `| ${name} | ${rate} | ${ratio('api')} | ${ratio('nginx')} |`;
  }),
];
