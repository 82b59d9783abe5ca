// express-openid-connect as its EXAMPLES.md says under "Obtaining and using refresh tokens" and
// "Logout from Identity Provider". Sessions are in an encrypted cookie, its default.
import http from 'node:http';

import express from 'express';
import oidc from 'express-openid-connect';

const { API_URL, BASE_URL, CLIENT_ID, CLIENT_SECRET, ISSUER_URL, PORT } = process.env;
const agent = new http.Agent({ keepAlive: true });
const app = express();

app.use(
  oidc.auth({
    authRequired: false,
    authorizationParams: { response_type: 'code', scope: 'openid profile offline_access' },
    baseURL: BASE_URL,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    idpLogout: true,
    issuerBaseURL: ISSUER_URL,
    secret: 'a long secret that both processes have',
  }),
);

app.get('/api/*path', oidc.requiresAuth(), async (req, res) => {
  let { token_type, access_token, isExpired, refresh } = req.oidc.accessToken;
  if (isExpired()) ({ access_token } = await refresh());
  const headers = { authorization: `${token_type} ${access_token}` };
  const request = http.get(API_URL + req.originalUrl, { agent, headers }, (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
  });
  request.on('error', (error) => res.status(502).send(error.message));
});

app.listen(Number(PORT), '127.0.0.1', 4096);
