// The provider's control, and what it says of a client and of a token.

const issuer = process.env.TEST_OIDC_PROVIDER_URL;

const put = async (what, value) => {
  const answer = await fetch(`${issuer}/control/${what}`, { method: 'PUT', body: String(value) });
  if (!answer.ok) throw new Error(`the provider answers ${answer.status} to ${what}`);
};

export const provider = {
  issuer,
  delay: (milliseconds) => put('delay', milliseconds),
  unavailable: (requests) => put('unavailable', requests),

  // ID tokens live as long: some peers look at those to know when to refresh.
  async tokensLive(seconds) {
    await put('access-token-seconds', seconds);
    await put('id-token-seconds', seconds);
  },

  async register(redirectUris) {
    const answer = await fetch(`${issuer}/reg`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        application_type: 'native',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: redirectUris,
        post_logout_redirect_uris: ['http://127.0.0.1/'],
        token_endpoint_auth_method: 'client_secret_basic',
      }),
    });
    const client = await answer.json();
    if (!answer.ok) throw new Error(`no client: ${JSON.stringify(client)}`);
    return { id: client.client_id, secret: client.client_secret };
  },

  // { granted, refused, outages, good }: refreshes by their outcome, and refresh tokens that still work.
  counts: async (client) => (await fetch(`${issuer}/control/clients/${client.id}`)).json(),

  async isLive(client, token) {
    const answer = await fetch(`${issuer}/token/introspection`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}` },
      body: new URLSearchParams({ token }),
    });
    if (!answer.ok) throw new Error(`introspection answers ${answer.status}`);
    return (await answer.json()).active;
  },
};
