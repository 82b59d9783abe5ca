
const byId = (id) => document.getElementById(id);
const SWITCHES = ['slow', 'down', 'leader_leaves', 'log_out', 'two_processes'];
const still = matchMedia('(prefers-reduced-motion: reduce)');
let running = false;

const say = (words) => { byId('state').textContent = words; };

const answers = ({ requests }) => {
  const counted = new Map();
  for (const { status } of requests) counted.set(status, (counted.get(status) ?? 0) + 1);
  const sorted = [...counted].sort(([one], [other]) => (one ?? 999) - (other ?? 999));
  return sorted.map(([status, count]) => (status === null ? `${count} gone` : `${count} × ${status}`)).join(', ');
};

const times = ({ requests }) =>
  requests.filter(({ status }) => status !== null).map(({ begin, end }) => end - begin).sort((one, other) => one - other);
const timeAt = (side, part) => {
  const sorted = times(side);
  return sorted.length ? millis(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]) : 'none';
};

const verdict = (side, asked) => {
  const reused = side.posts.some(({ status }) => status === 400);
  if (asked.log_out && !reused) return side.logged_in ? ['yes: the log out was undone', 'bad'] : ['no, as the user wanted', 'good'];
  return side.logged_in ? ['yes', 'good'] : ['no: the login is lost', 'bad'];
};

// All but what was granted is measured on this side: an answer may not have arrived. The providers'
// own counts are at /issuers.
const COUNTS = [
  ['posts', 'token requests', ({ posts }) => posts.length],
  ['granted', 'granted by the provider', ({ provider }) => provider.refreshes],
  ['answers', 'answers', answers],
  ['median', 'median answer', (side) => timeAt(side, 0.5)],
  ['slowest', 'slowest answer', (side) => timeAt(side, 1)],
];

const showCounts = ({ ours, naive, asked }) => {
  const sides = [['ours', ours], ['naive', naive]];
  const cell = (id, words, kind) => element('td', { id, ...(kind ? { class: kind } : {}) }, String(words));
  const rows = COUNTS.map(([id, name, of]) => element('tr', {}, element('th', { scope: 'row' }, name),
    ...sides.map(([way, side]) => cell(`${way}-${id}`, of(side)))));
  rows.push(element('tr', {}, element('th', { scope: 'row' }, 'still logged in afterwards'),
    ...sides.map(([way, side]) => cell(`${way}-logged-in`, ...verdict(side, asked)))));
  byId('counts').querySelector('tbody').replaceChildren(...rows);
  byId('counts').hidden = false;
};

const lasts = (side) => (side === null ? 0 : Math.max(side.now, ...side.requests.map(({ end }) => end ?? 0)));

const drawBoard = (board) => {
  const { ours, naive, asked, provider_ms: provider } = board;
  // Nothing shrinks while it is drawn, and both ways have one scale.
  const scale = Math.max(1.2 * provider, lasts(ours), lasts(naive));
  for (const [id, side] of [['ours', ours], ['naive', naive]]) {
    byId(id).replaceChildren(...(side === null ? [] : drawWay(side, asked, scale)));
  }
};

const isOver = (side) => side !== null && side.logged_in !== null;

const show = (board) => {
  const { run, error, ours, asked } = board;
  running = board.running;
  byId('fire').setAttribute('aria-disabled', String(running));
  if (asked === null) return say('Nothing has happened yet.');
  if (running) {
    byId('counts').hidden = true;
    say(isOver(ours) ? 'Now every request refreshes …' : `${many(asked.requests, 'request')} with tower-token-refresh …`);
  }
  if (!running || !still.matches) drawBoard(board);
  if (running) return undefined;
  if (error !== null) return say(`The run failed: ${error}`);
  showCounts(board);
  say(`Run ${run} is over: ${many(asked.requests, 'request')} each.`);
  return undefined;
};

const begin = async () => {
  const ask = { requests: Number(byId('requests').value) };
  for (const name of SWITCHES) ask[name] = byId(name).checked;
  const answer = await fetch('/run', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(ask),
  });
  if (!answer.ok) throw new Error(await answer.text());
};

const label = () => { byId('fire').textContent = `Fire ${many(Number(byId('requests').value), 'request')}`; };
byId('requests').addEventListener('input', label);
byId('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  if (running) return;
  running = true;
  // On a small screen it would happen below what is seen.
  if (byId('state').getBoundingClientRect().bottom > innerHeight / 2) byId('state').scrollIntoView();
  begin().catch((error) => {
    running = false;
    say(`It did not begin: ${error.message}`);
  });
});
label();

const events = new EventSource('/events');
events.onerror = () => say('The connection is lost; it is tried again.');
events.onmessage = ({ data }) => show(JSON.parse(data));
