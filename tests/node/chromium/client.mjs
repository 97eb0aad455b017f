// The client of the story: an application on the user's machine, or with a web site.
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';

const random = () => randomBytes(32).toString('base64url');

export class Client {
  // It listens for its answers, and shows a page for each.
  static async start(place) {
    const client = Object.assign(new Client(), place, { answers: [] });
    client.server = http.createServer((req, res) => {
      const url = new URL(req.url, client.redirectUri);
      if (url.pathname === '/callback') client.answers.push(url.searchParams);
      res.setHeader('content-type', 'text/html; charset=utf-8');
      res.end('<!doctype html><html lang="en"><title>Back</title><h1>Back at the client</h1>');
    });
    await new Promise((resolve) => client.server.listen(0, '127.0.0.1', resolve));
    client.website = `${new URL(client.clientId).origin}/callback`;
    client.redirectUri = `http://127.0.0.1:${client.server.address().port}/callback`;
    return client;
  }

  // What the user is to open.
  authorization() {
    this.verifier = random();
    this.state = random();
    const url = new URL(`${this.site}/authorize`);
    url.search = new URLSearchParams({
      response_type: 'code',
      client_id: this.clientId,
      redirect_uri: this.redirectUri,
      state: this.state,
      code_challenge: createHash('sha256').update(this.verifier).digest('base64url'),
      code_challenge_method: 'S256',
      scope: 'mcp:read',
      resource: `${this.site}/mcp`,
    });
    return url.href;
  }

  // Whose answer arrived last: the code is redeemed, and the server asked.
  async user() {
    const answer = this.answers.pop();
    if (answer?.get('state') !== this.state) throw new Error(`no answer of this login: ${answer}`);
    const response = await this.post('/token', {}, new URLSearchParams({
      grant_type: 'authorization_code', code: answer.get('code'), redirect_uri: this.redirectUri, client_id: this.clientId, code_verifier: this.verifier,
    }));
    const { access_token: token, error } = await response.json();
    if (error) throw new Error(error);
    const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
    const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {}, _meta: meta } };
    const headers = {
      authorization: `Bearer ${token}`, accept: 'application/json, text/event-stream', 'content-type': 'application/json',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'whoami',
    };
    const { result } = await (await this.post('/mcp', headers, JSON.stringify(message))).json();
    return JSON.parse(result.content[0].text).subject;
  }

  // Programs reach the server directly, whatever it is called.
  post(path, headers, body) {
    return fetch(`http://127.0.0.1:${this.port}${path}`, { method: 'POST', headers, body });
  }

  close() {
    this.server.close();
  }
}
