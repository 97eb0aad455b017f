// The TypeScript SDK, version 1, and its login. Arguments: the MCP server's URL, the version of the wire, the URL of the client's
// metadata document (or none).
import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { application } from './application.mjs';
import { live } from './client_session.mjs';

const [serverUrl, , document] = process.argv.slice(2);
const app = await application('ts-sdk-1', document);
await live(app, {
  open: () => ({
    client: new Client({ name: 'ts-sdk-1', version: '0' }),
    transport: new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider: app }),
  }),
  finish: (transport, answer) => transport.finishAuth(answer.get('code')),
  // It refreshes when it is told that its scopes are too few, and refreshing never brings more.
  async stepUp(failure) {
    if (failure.code !== 403) return;
    app.invalidateCredentials('tokens');
    await auth(app, { serverUrl, scope: 'mcp:read mcp:admin' });
  },
  version: (transport) => transport.protocolVersion,
});
