// A call of the API for whoever is logged in: `getServerSession` as the guide "Securing pages and API
// routes" says; in an API route it also sets the new cookie.
import http from 'node:http';

import { getServerSession } from 'next-auth/next';

import { authOptions } from './auth/[...nextauth]';

const agent = new http.Agent({ keepAlive: true });

export const config = { api: { externalResolver: true } };

export default async function handler(req, res) {
  const session = await getServerSession(req, res, authOptions);
  // The guide has the page log in again then.
  if (!session || session.error) return res.status(401).end();
  const headers = { authorization: `Bearer ${session.accessToken}` };
  const request = http.get(process.env.API_URL + req.url, { agent, headers }, (answer) => {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
  });
  request.on('error', (error) => res.status(502).send(error.message));
}
