// Processes that end with this one, free ports, and nginx: as the API, which logs the bearer tokens
// that it gets, and as a plain proxy in front of it.
import { spawn } from 'node:child_process';
import { openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// Below the range from which outgoing connections get theirs.
let nextPort = 15_000 + ((process.pid * 97) % 14_000);

const accepts = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.destroy(done(true)));
    socket.on('error', () => done(false));
  });

export const freePort = async () => {
  for (;;) {
    nextPort += 1;
    if (!(await accepts(nextPort))) return nextPort;
  }
};

const running = new Set();

const kill = (child, signal) => {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended by itself.
  }
};

export const stop = async (child) => {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((done) => child.on('exit', done));
    kill(child, 'SIGTERM');
    await Promise.race([ended, sleep(3000, undefined, { ref: false })]);
    kill(child, 'SIGKILL');
  }
  running.delete(child);
};

process.on('exit', () => running.forEach((child) => kill(child, 'SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

// In a process group of its own; returns when the port accepts connections.
export const serve = async (log, port, command, args, env, seconds = 60) => {
  const output = openSync(log, 'a');
  const child = spawn(command, args, { env: { ...process.env, ...env }, detached: true, stdio: ['ignore', output, output] });
  running.add(child);
  let failed;
  child.on('error', (error) => (failed = error));
  for (let tries = 0; tries < seconds * 10; tries += 1) {
    if (await accepts(port)) return child;
    if (failed || child.exitCode !== null) break;
    await sleep(100);
  }
  await stop(child);
  const said = readFileSync(log, 'utf8').split('\n').slice(-12).join('\n');
  throw new Error(`${command} does not serve: ${failed ?? ''}\n${said}`);
};

export const startApi = async (work) => {
  const [api, proxy] = [await freePort(), await freePort()];
  const tokens = join(work, 'tokens.log');
  writeFileSync(tokens, '');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${work}/${kind};`);
  writeFileSync(
    join(work, 'nginx.conf'),
    `daemon off; worker_processes 2; pid ${work}/nginx.pid; error_log ${work}/nginx-error.log;
    events { worker_connections 4096; }
    http {
      ${temporary.join(' ')}
      access_log off;
      keepalive_requests 1000000; keepalive_timeout 600s;
      log_format bearer '$http_authorization';
      upstream api { server 127.0.0.1:${api}; keepalive 64; keepalive_requests 1000000; }
      server {
        listen 127.0.0.1:${api} backlog=4096;
        default_type text/plain;
        location / { access_log ${tokens} bearer; return 200 "${'x'.repeat(1024)}"; }
        # Nothing is written down where the rate is measured.
        location ~ /fast$ { return 200 "${'x'.repeat(1024)}"; }
      }
      server {
        listen 127.0.0.1:${proxy} backlog=4096;
        location / { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }
      }
    }`,
  );
  const process = await serve(join(work, 'nginx.log'), api, 'nginx', ['-c', join(work, 'nginx.conf'), '-e', join(work, 'nginx-error.log')]);
  return {
    process,
    url: `http://127.0.0.1:${api}`,
    plainProxy: `http://127.0.0.1:${proxy}`,
    // The bearer tokens of the requests since the last call, one for each request.
    takeTokens() {
      const lines = readFileSync(tokens, 'utf8').split('\n').slice(0, -1);
      truncateSync(tokens);
      return lines.map((line) => line.replace(/^Bearer /i, ''));
    },
  };
};
