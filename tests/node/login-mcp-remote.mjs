// mcp-remote, behind a client that knows stdio only, and its login. Arguments: the MCP server's URL, the scopes that mcp-remote is
// configured to request: after a challenge it requests the same scopes again, and so it cannot step up.
//
// Standard output: `OPEN <url>` for each page that the user is to open, then what the client saw, in JSON.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

const [serverUrl, scope] = process.argv.slice(2);
const folder = mkdtempSync(path.join(tmpdir(), 'mcp-remote-'));
let logins = 0;

// mcp-remote opens the page by itself: with a command that does nothing.
const env = { ...process.env, MCP_REMOTE_CONFIG_DIR: folder, BROWSER: 'true' };
const transport = new StdioClientTransport({
  command: process.execPath,
  args: ['node_modules/mcp-remote/dist/proxy.js', serverUrl, '--host', '127.0.0.1', '--static-oauth-client-metadata', JSON.stringify({ scope })],
  env,
  stderr: 'pipe',
});
let rest = '';
transport.stderr.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    if (line.startsWith('http')) open(line.trim());
    else console.error(line);
  }
});

// Names the page as soon as the listener for the response is there: mcp-remote starts it after it opens the page.
async function open(url) {
  logins += 1;
  const redirectUri = new URL(new URL(url).searchParams.get('redirect_uri'));
  while (await fetch(redirectUri.origin).then(() => false, () => true)) await sleep(20);
  console.log('OPEN', url);
}

function stored(name) {
  const [inner] = readdirSync(folder);
  const file = readdirSync(path.join(folder, inner)).find((file) => file.endsWith(`_${name}.json`));
  return JSON.parse(readFileSync(path.join(folder, inner, file)));
}

const client = new Client({ name: 'mcp-remote', version: '0' });
const call = async (name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text;
const who = async () => JSON.parse(await call('whoami')).subject;

await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
const story = { tools, user: await who(), upstream: JSON.parse(await call('upstream')).sub, scope: stored('tokens').scope };
story.admin = await call('admin_echo', { message: 'hello' });

const old = stored('tokens');
// What the server says is rounded down.
await sleep((old.expires_in + 1) * 1000 + 100);
story.refreshed = { user: await who(), token: stored('tokens').access_token !== old.access_token };

const { client_id, client_secret } = stored('client_info');
const form = new URLSearchParams({ token: stored('tokens').refresh_token, client_id, ...(client_secret && { client_secret }) });
story.revoked = (await fetch(new URL('/revoke', serverUrl), { method: 'POST', body: form })).status;
story.again = await who();
await client.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify({ ...story, client: client_id, seen: { logins } }));
