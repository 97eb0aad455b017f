// The TypeScript SDK, version 2. Arguments: the MCP server's URL, the version of the wire. Environment: TOKEN.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { story } from './story.mjs';

const [url, wire] = process.argv.slice(2);
const mode = wire === '2025-11-25' ? 'legacy' : { pin: wire };
const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: { token: async () => process.env.TOKEN } });
const client = new Client({ name: 'ts-sdk-2', version: '0' }, { versionNegotiation: { mode } });
await client.connect(transport);
await story(client, () => transport.protocolVersion ?? wire);
