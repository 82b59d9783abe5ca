
// Draws one way of a run: the refreshes, and a lane with a line per request, which gets thinner the
// more there are. What is drawn is told in words as well, below it.
const svg = (name, attributes = {}, ...children) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;
// Those that the library sends for all who wait.
const postsOf = ({ posts }, process) => posts.filter((post) => post.request === null && post.process === process);
const processName = (process) => 'AB'[process];

// All lines of one kind are one path. A line is [row, from, to].
const lines = (kind, spans, thick) => svg('path', {
  class: kind, 'stroke-width': thick, d: spans.map(([row, from, to]) => `M${from} ${row + 0.5}H${to}`).join(''),
});

const endKind = ({ status, end }) => {
  if (end === null) return null;
  if (status === null) return 'gone';
  return status < 400 ? 'ok' : 'failed';
};

// `numbers`: which requests, from top to bottom.
const lane = (side, numbers, scale, height, words) => {
  const rows = new Map(numbers.map((number, row) => [number, row]));
  const cap = scale / 70;
  const waits = [];
  const ends = { ok: [], failed: [], gone: [] };
  for (const [number, row] of rows) {
    const sent = side.requests[number];
    const end = sent.end ?? side.now;
    waits.push([row, sent.begin, end]);
    const kind = endKind(sent);
    if (kind) ends[kind].push([row, Math.max(sent.begin, end - cap), Math.max(end, sent.begin + cap)]);
  }
  const sends = side.posts.filter(({ request }) => rows.has(request)).map(({ request, begin, end }) =>
    [rows.get(request), begin, end ?? side.requests[request].end ?? side.now]);
  const thick = numbers.length > 60 ? 1 : 0.75;
  const drawn = svg('svg', {
    viewBox: `0 0 ${scale} ${Math.max(1, numbers.length)}`, preserveAspectRatio: 'none', height, role: 'img', 'aria-label': words,
  }, lines('waits', waits, thick), lines('sends', sends, thick));
  for (const [kind, spans] of Object.entries(ends)) drawn.append(lines(kind, spans, thick));
  return element('div', {}, element('p', { class: 'lane' }, words), drawn);
};

// With the begin of the refresh as what comes before its first stage. Below its stages are its token
// requests: between two of them it pauses.
const refreshLane = (side, { process, began, leader, flight }, scale, processes) => {
  const moved = { took_ms: began + flight.took_ms, stages: flight.stages.map(([name, at]) => [name, began + at]) };
  const where = processes > 1 ? ` in process ${processName(process)}` : '';
  const who = leader === null ? '' : `, led by request ${leader + 1}`;
  const posts = postsOf(side, process);
  const drawn = svg('svg', { viewBox: `0 0 ${scale} 1`, preserveAspectRatio: 'none', height: 6, 'aria-hidden': 'true' },
    lines('sends', posts.map(({ begin, end }) => [0, begin, end ?? side.now]), 1));
  return element('div', {}, element('p', { class: 'lane' }, `refresh${where}${who}`), bar(moved, scale),
    ...(posts.length ? [element('p', { class: 'lane' }, many(posts.length, 'token request')), drawn] : []));
};

const KINDS = {
  sends: 'token request under way', waits: 'waits', ok: 'answered', failed: 'failed', gone: 'client has gone',
};
const STAGES = { read: 'reads the tokens', wait: 'waits for the other process', queue: 'waits for its turn', mark: 'marks them', request: 'token request', write: 'writes the new ones' };

const sample = (kind, name) => element('li', {},
  svg('svg', { viewBox: '0 0 10 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, lines(kind, [[0, 0, 10]], 1)), name);
const stageSample = (kind, name) => {
  const swatch = element('span', { class: `swatch ${kind}`, 'aria-hidden': 'true' });
  return element('li', {}, swatch, name);
};

const legend = (side) => {
  const stages = new Set(side.flights.flatMap(({ flight }) => flight.stages.map(([name]) => name)));
  const kinds = new Set(side.requests.map(endKind));
  kinds.add('waits');
  if (side.posts.some(({ request }) => request !== null)) kinds.add('sends');
  const late = side.flights.some(({ flight }) => flight.outcome === 'logged_out');
  const nameOf = (stage, name) => (stage === 'write' && late ? 'revokes the new ones, which come too late' : name);
  return element('ul', { class: 'legend' },
    ...Object.entries(STAGES).filter(([stage]) => stages.has(stage)).map(([stage, name]) => stageSample(stage, nameOf(stage, name))),
    ...Object.entries(KINDS).filter(([kind]) => kinds.has(kind)).map(([kind, name]) => sample(kind, kind === 'waits' && kinds.has('sends') ? 'the rest of a request' : name)));
};

const OUTCOMES = {
  already_newer: 'it takes the tokens that the other process has brought',
  unavailable: 'the provider is not available',
  logged_out: 'the login has ended meanwhile',
};

const refreshStory = (side, { process, leader, began, flight }, processes) => {
  const at = (name) => flight.stages.find(([stage]) => stage === name)?.[1];
  const posts = postsOf(side, process);
  const words = [];
  if (leader !== null) words.push(`request ${leader + 1} leads${processes > 1 ? ` in process ${processName(process)}` : ''}`);
  if (at('wait') !== undefined) words.push(`it waits for the other process from ${millis(began + at('wait'))} on`);
  for (const { begin, end, status } of posts) {
    words.push(`its token request goes out at ${millis(begin)}${end === null ? '' : ` and is answered with ${status} at ${millis(end)}`}`);
  }
  if (flight.outcome === 'refreshed') words.push(`the write lands at ${millis(began + flight.took_ms)}`);
  if (flight.waiters > 0) words.push(`${many(flight.waiters, 'request waits', 'requests wait')} until then`);
  if (OUTCOMES[flight.outcome]) words.push(OUTCOMES[flight.outcome]);
  return words.join('; ');
};

const postStory = ({ posts }) => {
  const own = posts.filter(({ request }) => request !== null);
  if (own.length === 0) return [];
  const granted = own.find(({ status }) => status === 200);
  const statuses = new Map();
  for (const { status } of own) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const refused = [...statuses].filter(([status]) => status !== null && status !== 200);
  return [
    `${many(own.length, 'request sends a token request', 'requests send a token request each')}, from ${millis(own[0].begin)} on`,
    ...(granted ? [`the provider grants that of request ${granted.request + 1}`] : []),
    ...refused.map(([status, count]) => `it answers ${count} with ${status}`),
  ];
};

const story = (side, processes) => [
  ...side.flights.map((flight) => refreshStory(side, flight, processes)),
  ...postStory(side),
  ...(side.left === null ? [] : [`the client of request ${side.left + 1} disconnects at ${millis(side.requests[side.left].end)}`]),
  ...(side.log_out ? [`the user logs out at ${millis(side.log_out.begin)}`] : []),
];

const drawWay = (side, asked, scale) => {
  const processes = asked.two_processes ? 2 : 1;
  const leaders = side.flights.map(({ leader }) => leader).filter((leader) => leader !== null);
  const others = side.requests.map((_, number) => number).filter((number) => !leaders.includes(number));
  const height = Math.max(24, Math.min(280, 6 * others.length));
  const parts = side.flights.map((flight) => refreshLane(side, flight, scale, processes));
  for (const leader of leaders) parts.push(lane(side, [leader], scale, 14, `request ${leader + 1} leads`));
  const what = leaders.length ? 'others wait' : 'requests';
  if (others.length) parts.push(lane(side, others, scale, height, `${others.length} ${what}`));
  return [
    ...parts,
    element('div', { class: 'axis' }, element('span', {}, '0 ms'), element('span', {}, millis(scale))),
    legend(side),
    element('ul', { class: 'story' }, ...story(side, processes).map((words) => element('li', {}, words))),
  ];
};
