// The TypeScript SDK, version 1, wire 2025-11-25. Argument: the MCP server's URL. Environment: TOKEN.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { story } from './story.mjs';

const headers = { authorization: `Bearer ${process.env.TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]), { requestInit: { headers } });
const client = new Client({ name: 'ts-sdk-1', version: '0' });
await client.connect(transport);
await story(client, () => transport.protocolVersion);
