
const show = (id, ...children) => document.getElementById(id).replaceChildren(...children);

const NUMBERS = [
  ['refreshing', ({ refreshing }) => refreshing],
  ['waiting', ({ waiting }) => waiting],
  ['served from the cache', ({ served }) => served.from_cache],
  ['served after a refresh', ({ served }) => served.from_refresh],
  ['refreshed', ({ flights }) => flights.refreshed],
  ['failed', ({ flights }) => flights.failed],
  ['lost races', ({ flights }) => flights.lost_race],
  ['unsaved', ({ unsaved }) => unsaved],
];

const draw = ({ stats, flights }) => {
  show('stats', ...NUMBERS.map(([name, of]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, String(of(stats))))));
  show('running', table(flights.running, 'None.'));
  show('ended', table(flights.ended.toReversed(), 'None so far.'));
};

// Relative to the page, wherever it is nested, with a slash at its end or without.
const here = location.pathname.replace(/\/?$/, '/');
const events = new EventSource(`${here}events`);
events.onopen = () => show('state', 'Live.');
events.onerror = () => show('state', 'The connection is lost; it is tried again.');
events.onmessage = ({ data }) => draw(JSON.parse(data));
