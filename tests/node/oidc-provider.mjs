// A certified OpenID provider on loopback. Every user is logged in and agrees to everything; with PAGES, users do that themselves.
//
// Refresh tokens are rotated, and one that is used twice ends the grant.
//
// Environment: AT_FORMAT (jwt or opaque), AT_TTL (seconds), PORT (0: any), HOST (by which name it is known), GATE_SECRET (the resource
// server's), STATE (a file: what users have allowed is kept there, so that the provider can be stopped and started), PAGES (not empty:
// users see its login page, which takes any name and any password), CALLBACK (where the application `upstream` is sent back to), PROOFS (not
// empty: proofs of possession need a nonce).
// Standard output: `READY <issuer>`, then a line for each request: method, path, status.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import Provider from 'oidc-provider';

const { AT_FORMAT = 'jwt', AT_TTL = '300', PORT = '0', HOST = '127.0.0.1', GATE_SECRET = 'gate-secret', STATE, PAGES, CALLBACK, PROOFS } = process.env;
const scopes = ['openid', 'offline_access', 'profile', 'email', 'mcp:read', 'mcp:admin'];
const ttl = Number(AT_TTL);

const server = http.createServer();
await new Promise((resolve) => server.listen(Number(PORT), '127.0.0.1', resolve));
const issuer = `http://${HOST}:${server.address().port}`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: randomBytes(8).toString('hex') };

const account = (sub) => ({ sub, name: `${sub} of the tests`, email: `${sub}@example.test`, email_verified: true });

// What is kept in a file. Nothing but a few rows.
const rows = new Map(STATE && existsSync(STATE) ? JSON.parse(readFileSync(STATE)) : []);
class Kept {
  constructor(model) { this.key = (id) => `${model}:${id}`; }
  #save() {
    writeFileSync(`${STATE}.new`, JSON.stringify([...rows]));
    renameSync(`${STATE}.new`, STATE);
  }
  async upsert(id, payload, expiresIn) {
    rows.set(this.key(id), { payload, end: expiresIn ? Date.now() + expiresIn * 1000 : null });
    this.#save();
  }
  async find(id) {
    const row = rows.get(this.key(id));
    return row && (row.end === null || Date.now() < row.end) ? row.payload : undefined;
  }
  async findByUid(uid) { return [...rows.values()].find(({ payload }) => payload.uid === uid)?.payload; }
  async consume(id) {
    rows.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
    this.#save();
  }
  async destroy(id) {
    rows.delete(this.key(id));
    this.#save();
  }
  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of rows) if (payload.grantId === grantId) rows.delete(key);
    this.#save();
  }
}

const provider = new Provider(issuer, {
  ...(STATE && { adapter: Kept }),
  scopes,
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  clients: [
    // A person's application, a server that calls this one for its users, a program on the user's machine, a program that acts for itself, and the resource server that
    // asks about tokens.
    { client_id: 'app', client_secret: 'app-secret', redirect_uris: ['http://127.0.0.1:1/callback'], grant_types: ['authorization_code'], response_types: ['code'] },
    { client_id: 'upstream', client_secret: 'upstream-secret', redirect_uris: [CALLBACK ?? 'http://127.0.0.1:1/callback'], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] },
    { client_id: 'native', application_type: 'native', token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1:1/callback'], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] },
    { client_id: 'robot', client_secret: 'robot-secret', redirect_uris: [], grant_types: ['client_credentials'], response_types: [] },
    { client_id: 'gate', client_secret: GATE_SECRET, redirect_uris: [], grant_types: [], response_types: [] },
  ],
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => account(id) }),
  cookies: { keys: [randomBytes(16).toString('hex')] },
  jwks: { keys: [key] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: ttl, ClientCredentials: ttl, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 3600, Interaction: 60, Session: 3600, Grant: 3600 },
  features: {
    devInteractions: { enabled: Boolean(PAGES) },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true, allowedPolicy: async () => true },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => Boolean(PROOFS) },
    resourceIndicators: {
      enabled: true,
      defaultResource: async (_ctx, _client, oneOf) => oneOf,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (_ctx, resource) => ({
        scope: 'mcp:read mcp:admin openid profile email', audience: resource, accessTokenFormat: AT_FORMAT, accessTokenTTL: ttl, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  ...(!PAGES && { interactions: { url: (_ctx, interaction) => `/agree/${interaction.uid}` } }),
});

// Logs in whom login_hint names, or Ada, and agrees to what is asked.
async function agree(req, res) {
  const { prompt: { name, details }, params, session, grantId } = await provider.interactionDetails(req, res);
  const accountId = params.login_hint ?? 'ada';
  if (name === 'login') return provider.interactionFinished(req, res, { login: { accountId, remember: false } });
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, missing] of Object.entries(details.missingResourceScopes ?? {})) grant.addResourceScope(resource, missing.join(' '));
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

// UserInfo for tokens that have an audience: oidc-provider's own refuses those, other providers do not.
async function profile(req, res) {
  const token = await provider.AccessToken.find(req.headers.authorization?.replace(/^Bearer /, '') ?? '');
  res.statusCode = token ? 200 : 401;
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(token ? account(token.accountId) : { error: 'invalid_token' }));
}

const answer = provider.callback();
const routes = [['/agree/', agree], ['/profile', profile]];
server.on('request', (req, res) => {
  const path = req.url.split('?')[0];
  res.on('finish', () => console.log(req.method, path, res.statusCode));
  const [, route] = routes.find(([prefix]) => path.startsWith(prefix)) ?? [];
  if (!route) return answer(req, res);
  route(req, res).catch((error) => { console.error(error); res.statusCode = 500; res.end(); });
});
provider.on('server_error', (_ctx, error) => console.error(error));
console.log('READY', issuer);
