// A browser: it keeps cookies, follows redirects at a login, and makes many requests at once.
import { randomUUID } from 'node:crypto';
import http from 'node:http';

import { provider } from './provider.mjs';

export class Visitor {
  #jars = new Map();

  // `ports`: where requests go, in turns; the first one is where the login happens.
  constructor(peer, ports) {
    this.peer = peer;
    // Everybody is another one: some peers keep tokens by user, not by session.
    this.account = randomUUID();
    this.ports = ports;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity });
  }

  get #base() {
    return `http://127.0.0.1:${this.ports[0]}`;
  }

  // Redirects to a provider that asks no questions, and back.
  async logIn() {
    let answer = await this.#act(this.peer.login);
    for (let hops = 0; hops < 20 && answer.status >= 300 && answer.status < 400; hops += 1) {
      answer = await this.#browse('GET', new URL(answer.headers.location, answer.url));
    }
    // Where the login ends may be a page that this application does not have.
    if (answer.status >= 400 && answer.status !== 404) throw new Error(`log in ends with ${answer.status} at ${answer.url}: ${answer.body.slice(0, 300)}`);
  }

  // Only the peer's own answer: the browser does not go on to the provider's page.
  logOut() {
    return this.#act(this.peer.logout);
  }

  // `form`: a page with a form and a hidden `_csrf`, as Spring Security makes it. `csrf`: where
  // next-auth gives out the token that its forms must carry.
  async #act({ method = 'GET', path, csrf, form: page }) {
    if (page) {
      const { body } = await this.#browse('GET', new URL(page, this.#base));
      const hidden = /name="_csrf"[^>]*value="([^"]*)"/.exec(body)?.[1];
      return this.#browse('POST', new URL(path, this.#base), new URLSearchParams({ _csrf: hidden }).toString());
    }
    if (!csrf) return this.#browse(method, new URL(path, this.#base));
    const { csrfToken } = JSON.parse((await this.#browse('GET', new URL(csrf, this.#base))).body);
    const form = new URLSearchParams({ csrfToken, callbackUrl: this.#base, json: 'true' }).toString();
    const answer = await this.#browse('POST', new URL(path, this.#base), form);
    if (answer.status !== 200) return answer;
    // A script of the page goes where the answer says.
    return { ...answer, status: 302, headers: { ...answer.headers, location: JSON.parse(answer.body).url } };
  }

  async #browse(method, url, form) {
    const headers = { origin: url.origin, accept: 'text/html', 'sec-fetch-site': 'same-origin' };
    if (url.origin === provider.issuer) headers['x-account'] = this.account;
    if (method === 'GET') delete headers.origin;
    if (form) headers['content-type'] = 'application/x-www-form-urlencoded';
    return this.#send(method, url, headers, form);
  }

  cookies(origin = this.#base) {
    return [...(this.#jars.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  #keep(origin, lines = []) {
    if (!this.#jars.has(origin)) this.#jars.set(origin, new Map());
    const jar = this.#jars.get(origin);
    for (const line of lines) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const name = pair.slice(0, pair.indexOf('='));
      const of = (attribute) => attributes.find((other) => other.toLowerCase().startsWith(`${attribute}=`))?.split('=')[1];
      const ends = of('max-age') !== undefined ? Number(of('max-age')) <= 0 : Date.parse(of('expires')) <= Date.now();
      if (ends) jar.delete(name);
      else jar.set(name, pair.slice(name.length + 1));
    }
  }

  #send(method, url, headers, body, { agent = this.agent, jar = url.origin, signal } = {}) {
    return new Promise((done, failed) => {
      const cookie = this.cookies(jar);
      const started = performance.now();
      const request = http.request(url, { method, agent, signal, headers: cookie ? { ...headers, cookie } : headers }, (answer) => {
        // As a browser does: when the head of an answer arrives, in that order.
        this.#keep(jar, answer.headers['set-cookie']);
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', failed);
        answer.on('end', () =>
          done({ url, status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString(), took: performance.now() - started }),
        );
      });
      request.on('error', (error) => {
        // A server may close a connection at any time, and browsers try again on another one.
        if (error.code === 'ECONNRESET' && request.reusedSocket && method === 'GET') {
          this.#send(method, url, headers, body, { agent: new http.Agent(), jar, signal }).then((answer) => done({ ...answer, took: performance.now() - started }), failed);
        } else {
          failed(error);
        }
      });
      request.end(body);
    });
  }

  // One call of the API as a page's script makes it: { outcome, took }.
  async call(nth = 0, more = {}) {
    const url = new URL(this.peer.api ?? '/api/orders', `http://127.0.0.1:${this.ports[nth % this.ports.length]}`);
    const headers = { accept: 'application/json', 'x-requested-with': 'XMLHttpRequest', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
    try {
      const { status, body, took } = await this.#send('GET', url, headers, undefined, { ...more, jar: this.#base });
      if (status === 200 && body !== 'x'.repeat(1024)) return { outcome: '200 with another body', took };
      return { outcome: status >= 300 && status < 400 ? 'redirect' : String(status), took };
    } catch (error) {
      return { outcome: error.name === 'AbortError' ? 'left' : `no answer (${error.code ?? error.message})` };
    }
  }

  callAtOnce(count) {
    return Promise.all(Array.from({ length: count }, (_, nth) => this.call(nth)));
  }

  // Whoever asks first, on a connection of its own, and goes away after so many milliseconds.
  callAndLeave(milliseconds) {
    return this.call(0, { agent: new http.Agent(), signal: AbortSignal.timeout(milliseconds) });
  }

  // Connections are opened here, not in what is measured. Without cookies: nobody is logged in by it.
  async warm(count) {
    const open = (nth) =>
      new Promise((done) => {
        const port = this.ports[nth % this.ports.length];
        const request = http.get({ port, host: '127.0.0.1', path: this.peer.warm ?? '/favicon.ico', agent: this.agent }, (answer) => answer.resume().on('end', done));
        request.on('error', done);
      });
    await Promise.all(Array.from({ length: count }, (_, nth) => open(nth)));
  }

  leave() {
    this.agent.destroy();
  }
}
