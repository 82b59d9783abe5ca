// next-auth with the rotation that its guide describes
// (next-auth.js.org/v4/tutorials/refresh-token-rotation), for a provider of one's own.
import NextAuth from 'next-auth';

const { CLIENT_ID, CLIENT_SECRET, ISSUER_URL } = process.env;

const refreshAccessToken = async (token) => {
  try {
    const response = await fetch(`${process.env.ISSUER_URL}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${process.env.CLIENT_ID}:${process.env.CLIENT_SECRET}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token.refreshToken }),
    });
    const refreshed = await response.json();
    if (!response.ok) throw refreshed;
    return {
      ...token,
      accessToken: refreshed.access_token,
      accessTokenExpires: Date.now() + refreshed.expires_in * 1000,
      refreshToken: refreshed.refresh_token ?? token.refreshToken,
    };
  } catch {
    return { ...token, error: 'RefreshAccessTokenError' };
  }
};

export const authOptions = {
  providers: [
    {
      id: 'oidc',
      name: 'oidc',
      type: 'oauth',
      wellKnown: `${ISSUER_URL}/.well-known/openid-configuration`,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      authorization: { params: { scope: 'openid profile' } },
      idToken: true,
      checks: ['pkce', 'state'],
      profile: ({ sub }) => ({ id: sub, name: sub }),
    },
  ],
  secret: 'a long secret that both processes have',
  callbacks: {
    async jwt({ token, user, account }) {
      if (account && user) {
        return { accessToken: account.access_token, accessTokenExpires: account.expires_at * 1000, refreshToken: account.refresh_token, user };
      }
      if (Date.now() < token.accessTokenExpires) return token;
      return refreshAccessToken(token);
    },
    async session({ session, token }) {
      return { ...session, user: token.user, accessToken: token.accessToken, error: token.error };
    },
  },
};

export default NextAuth(authOptions);
