// The TypeScript SDK, version 2, and its login. Arguments: the MCP server's URL, the version of the wire, the URL of the client's metadata
// document (or none).
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { application } from './application.mjs';
import { live } from './client_session.mjs';

const [serverUrl, wire, document] = process.argv.slice(2);
const mode = wire === '2025-11-25' ? 'legacy' : { pin: wire };
const app = await application('ts-sdk-2', document);
await live(app, {
  open: () => ({
    client: new Client({ name: 'ts-sdk-2', version: '0' }, { versionNegotiation: { mode } }),
    transport: new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider: app }),
  }),
  finish: (transport, answer) => transport.finishAuth(answer),
  version: (transport) => transport.protocolVersion ?? wire,
});
