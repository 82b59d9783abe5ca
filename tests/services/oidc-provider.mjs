// A second strict provider by other hands: node's oidc-provider, rotating, where a refresh token that comes back ends its
// whole grant. Everything is in memory. Whoever comes with `login_hint`, or with `x-account` in a header, is logged in
// as that account; anybody else has a form, where the password is the name.
//
//   GET  /control/accounts/{account}   how many refreshes of that account were granted and refused
//   GET  /control/clients/{client}     the same of a client, how many refresh tokens of it are good,
//                                      and how many token requests of all clients met a 503
//   PUT  /control/delay                body: milliseconds that the token endpoint takes before it answers
//   PUT  /control/unavailable          body: how many token requests from now on get a 503
//   PUT  /control/access-token-seconds body: how long access tokens live that are issued from now on
//   PUT  /control/id-token-seconds     the same of ID tokens
//
// The PUTs change the server for everybody, and stay: only benches use them. A test has a client of its own.
import { randomBytes } from 'node:crypto';

import Provider from 'oidc-provider';

const port = Number(process.env.PORT);
const issuer = process.env.ISSUER ?? `http://127.0.0.1:${port}`;
let accessTokenSeconds = 60;
const secondsOf = { 'web-brief': 2, 'web-short': 8 };
let idTokenSeconds = 60;
let delay = 0;
let unavailable = 0;
let outages = 0;

const accounts = new Map();
const counters = (account) => {
  if (!accounts.has(account)) accounts.set(account, { granted: 0, refused: 0 });
  return accounts.get(account);
};
const clients = new Map();
const ofClient = (id) => {
  if (!clients.has(id)) clients.set(id, { granted: 0, refused: 0, issued: [] });
  return clients.get(id);
};

const confidential = (clientId, more = {}) => ({
  client_id: clientId,
  client_secret: 'secret',
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  // Native clients may take any port of the loopback address (RFC 8252, 7.3).
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/auth/callback'],
  token_endpoint_auth_method: 'client_secret_basic',
  ...more,
});

const provider = new Provider(issuer, {
  clients: [
    confidential('web', { post_logout_redirect_uris: ['http://127.0.0.1/'] }),
    // Tokens of two and four seconds, for tests of what comes after their end.
    confidential('web-brief'),
    // Tokens of eight seconds, for tests that see several expiries.
    confidential('web-short', { post_logout_redirect_uris: ['http://127.0.0.1/?logged_out'] }),
    {
      client_id: 'spa',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/auth/callback'],
      token_endpoint_auth_method: 'none',
    },
  ],
  claims: { openid: ['sub', 'sid'], profile: ['preferred_username'] },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    introspection: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    userinfo: { enabled: true },
    backchannelLogout: { enabled: true },
    // Whoever is to be told of log outs registers itself with its address.
    registration: { enabled: true },
    // Whoever sends a proof of possession needs a nonce in it.
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('openid'),
  rotateRefreshToken: true,
  pkce: { required: () => false },
  // By itself it calls no application on the loopback address.
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
  // By itself it takes an access token for 15 seconds longer than it says.
  clockTolerance: 0,
  cookies: { keys: ['for tests only'] },
  ttl: {
    AccessToken: (_ctx, _token, client) => secondsOf[client.clientId] ?? accessTokenSeconds,
    RefreshToken: (_ctx, _token, client) => (client.clientId === 'web-brief' ? 4 : 3600),
    IdToken: () => idTokenSeconds,
    Session: 3600,
    Grant: 3600,
    Interaction: 600,
  },
});
provider.proxy = true;

provider.on('backchannel.error', (_ctx, error, client) => console.error('back-channel logout', client.clientId, error));

// Whose a refresh token was: the provider itself forgets those of an ended grant.
const owners = new Map();
const ofRefresh = (ctx) => ctx.oidc?.params?.grant_type === 'refresh_token';
provider.on('grant.success', (ctx) => {
  const account = ctx.oidc.account.accountId;
  const client = ofClient(ctx.oidc.client.clientId);
  if (ctx.body.refresh_token) {
    owners.set(ctx.body.refresh_token, account);
    client.issued.push(ctx.body.refresh_token);
  }
  if (!ofRefresh(ctx)) return;
  counters(account).granted += 1;
  client.granted += 1;
});
provider.on('grant.error', (ctx) => {
  if (!ofRefresh(ctx)) return;
  counters(owners.get(ctx.oidc.params.refresh_token) ?? '').refused += 1;
  if (ctx.oidc.client) ofClient(ctx.oidc.client.clientId).refused += 1;
});

// What the account says in the form, once it is right. With a hint nobody needs it.
const whoLogsIn = async (ctx, hint) => {
  if (hint) return hint;
  if (ctx.method !== 'POST') return undefined;
  const said = new URLSearchParams(await readBody(ctx.req));
  return said.get('username') === said.get('password') ? said.get('username') : undefined;
};

const loginPage = (action) => `<!doctype html><title>Log in</title><form method="post" action="${action}">
<input name="username" aria-label="Name"><input name="password" type="password" aria-label="Password">
<button type="submit">Log in</button></form>`;

// Good for another refresh: neither used nor revoked, and its grant goes on.
const isGood = async (value) => {
  const token = await provider.RefreshToken.find(value);
  return Boolean(token && !token.consumed && (await provider.Grant.find(token.grantId)));
};

const readBody = async (req) => {
  let body = '';
  for await (const chunk of req) body += chunk;
  return body;
};

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/control/accounts/')) {
    ctx.body = counters(decodeURIComponent(ctx.path.slice('/control/accounts/'.length)));
  } else if (ctx.path.startsWith('/control/clients/')) {
    const { issued, ...counts } = ofClient(decodeURIComponent(ctx.path.slice('/control/clients/'.length)));
    const good = await Promise.all(issued.map(isGood));
    ctx.body = { ...counts, outages, good: good.filter(Boolean).length };
  } else if (ctx.path === '/control/delay' && ctx.method === 'PUT') {
    delay = Number(await readBody(ctx.req));
    ctx.status = 204;
  } else if (ctx.path === '/control/unavailable' && ctx.method === 'PUT') {
    unavailable = Number(await readBody(ctx.req));
    ctx.status = 204;
  } else if (ctx.path === '/control/access-token-seconds' && ctx.method === 'PUT') {
    accessTokenSeconds = Number(await readBody(ctx.req));
    ctx.status = 204;
  } else if (ctx.path === '/control/id-token-seconds' && ctx.method === 'PUT') {
    idTokenSeconds = Number(await readBody(ctx.req));
    ctx.status = 204;
  } else if (ctx.path.startsWith('/interaction/')) {
    const { params, prompt, grantId, session } = await provider.interactionDetails(ctx.req, ctx.res);
    const result = {};
    if (prompt.name === 'login') {
      const accountId = await whoLogsIn(ctx, params.login_hint ?? ctx.get('x-account'));
      if (!accountId) {
        ctx.type = 'html';
        ctx.body = loginPage(ctx.href);
        return;
      }
      result.login = { accountId };
    } else {
      const grant = grantId
        ? await provider.Grant.find(grantId)
        : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      result.consent = { grantId: await grant.save() };
    }
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
    ctx.respond = false;
  } else {
    // Half of it on the way here, half on the way back.
    const halfway = async () => {
      if (ctx.path === '/token' && delay > 0) await new Promise((done) => setTimeout(done, delay / 2));
    };
    await halfway();
    if (ctx.path === '/token' && unavailable > 0) {
      unavailable -= 1;
      outages += 1;
      ctx.status = 503;
    } else {
      await next();
    }
    await halfway();
  }
});

provider.listen(port, '127.0.0.1');
