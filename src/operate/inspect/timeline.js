'use strict';
// Draws refreshes: one row each, with a bar whose parts are its stages. What the colours say stands
// in words as well.
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const millis = (time) => (time < 10 ? `${time.toFixed(1)} ms` : `${Math.round(time)} ms`);

// The stages of a flight with their begin and their length, in milliseconds.
const stagesOf = ({ stages, took_ms: took }) => stages.map(([name, begin], index) => {
  const end = index + 1 < stages.length ? stages[index + 1][1] : took;
  return { name, begin, length: Math.max(0, end - begin) };
});

// `scale`: how many milliseconds the whole width stands for.
const bar = (flight, scale) => {
  const parts = stagesOf(flight).map(({ name, begin, length }) => {
    const part = element('span', { class: `stage ${name}`, title: `${name}: ${millis(length)}` });
    part.style.insetInlineStart = `${(100 * begin) / scale}%`;
    part.style.inlineSize = `${Math.max(0.4, (100 * length) / scale)}%`;
    return part;
  });
  const words = stagesOf(flight).map(({ name, length }) => `${name} ${millis(length)}`).join(', ');
  return element('div', { class: 'bar', role: 'img', 'aria-label': words || 'not begun' }, ...parts);
};

const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

const row = (flight, scale) => element('tr', { class: flight.outcome ?? 'running' },
  element('td', {}, clock(flight.began_ms)),
  element('td', {}, element('code', {}, flight.login)),
  element('td', { class: 'wide' }, bar(flight, scale)),
  element('td', { class: 'number' }, String(flight.waiters)),
  element('td', { class: 'number' }, millis(flight.took_ms)),
  element('td', {}, flight.outcome ?? (flight.early ? 'running, ahead of time' : 'running')));

const HEADS = ['Began', 'Login', 'Stages', 'Waiting', 'Took', 'Outcome'];

const table = (flights, nothing) => {
  if (flights.length === 0) return element('p', {}, nothing);
  const scale = Math.max(1, ...flights.map(({ took_ms: took }) => took));
  const heads = element('tr', {}, ...HEADS.map((head) => element('th', { scope: 'col' }, head)));
  const rows = flights.map((flight) => row(flight, scale));
  const made = element('table', {}, element('thead', {}, heads), element('tbody', {}, ...rows));
  return element('div', { class: 'scrolls', tabindex: '0', role: 'region', 'aria-label': 'Refreshes' }, made);
};
