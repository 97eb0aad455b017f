// A program on a user's machine, as the SDKs want one to log in with: it waits on loopback for its codes, remembers what it is given,
// and says which URL its user is to open: `OPEN <url>` on standard output.
import { randomUUID } from 'node:crypto';
import http from 'node:http';

// It goes by the document at `clientMetadataUrl`, if there is one and the server takes such clients; else it registers.
export async function application(name, clientMetadataUrl) {
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const redirectUrl = `http://127.0.0.1:${server.address().port}/callback`;
  const memory = {};
  const seen = { logins: 0, refreshes: 0, registrations: 0 };
  let arrived;
  let answer;

  server.on('request', (req, res) => {
    const url = new URL(req.url, redirectUrl);
    res.statusCode = url.pathname === '/callback' ? 200 : 404;
    res.end('You can close this page.');
    if (res.statusCode === 200) arrived?.(url.searchParams);
  });

  return {
    seen,
    redirectUrl,
    clientMetadataUrl,
    clientMetadata: {
      client_name: name,
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => (memory.state = randomUUID()),
    clientInformation: () => memory.client,
    saveClientInformation(client) {
      if (client.client_id !== memory.client?.client_id) seen.registrations += 1;
      memory.client = client;
    },
    tokens: () => memory.tokens,
    saveTokens(tokens) {
      seen[memory.isRedeeming ? 'logins' : 'refreshes'] += 1;
      memory.isRedeeming = false;
      memory.tokens = tokens;
    },
    saveCodeVerifier: (verifier) => (memory.verifier = verifier),
    codeVerifier: () => memory.verifier,
    saveDiscoveryState: (state) => (memory.discovery = state),
    discoveryState: () => memory.discovery,
    invalidateCredentials(scope) {
      if (scope === 'all' || scope === 'client') delete memory.client;
      if (scope === 'all' || scope === 'tokens') delete memory.tokens;
    },
    redirectToAuthorization(url) {
      answer = new Promise((resolve) => (arrived = resolve));
      console.log('OPEN', url.href);
    },
    // Whether its user has been sent away.
    isWaiting: () => answer !== undefined,
    // With what the user comes back.
    async answer() {
      const parameters = await answer;
      answer = undefined;
      if (parameters.get('state') !== memory.state) throw new Error('another user was logged in');
      if (!parameters.has('code')) throw new Error(`no code: ${parameters}`);
      memory.isRedeeming = true;
      return parameters;
    },
    close: () => server.close(),
  };
}
