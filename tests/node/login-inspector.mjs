// The command line of the Inspector and its login: a process for each request. Arguments: the MCP server's URL, the era of the wire
// (`legacy` or `modern`), the scopes that it is configured to request: after a challenge it refreshes, and so it cannot step up.
//
// Standard output: `OPEN <url>` for each page that the user is to open, then what the client saw, in JSON.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const [serverUrl, era, scopes] = process.argv.slice(2);
const folder = mkdtempSync(path.join(tmpdir(), 'inspector-'));
const cli = 'node_modules/@modelcontextprotocol/inspector/clients/cli/build/index.js';
let logins = 0;

const listener = net.createServer().listen(0, '127.0.0.1');
await new Promise((resolve) => listener.once('listening', resolve));
const callback = `http://127.0.0.1:${listener.address().port}/oauth/callback`;
await new Promise((resolve) => listener.close(resolve));

const config = path.join(folder, 'config.json');
writeFileSync(config, JSON.stringify({ mcpServers: { server: { type: 'streamable-http', url: serverUrl, oauth: { scopes } } } }));

async function run(...args) {
  const common = ['--config', config, '--server', 'server', '--protocol-era', era, '--callback-url', callback, '--format', 'json'];
  const env = { ...process.env, MCP_STORAGE_DIR: folder, HOME: folder, MCP_INSPECTOR_SECRET_STORE: 'file', MCP_AUTO_OPEN_ENABLED: 'true', BROWSER: 'true' };
  const child = spawn(process.execPath, [cli, ...common, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  createInterface(child.stderr).on('line', (line) => {
    const [, url] = line.match(/^Please navigate to: (\S+)/) ?? [];
    if (!url) return console.error(line);
    logins += 1;
    console.log('OPEN', url);
  });
  const output = await text(child.stdout);
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
  if (child.exitCode !== 0) throw new Error(`${args}: ${child.exitCode}: ${output}`);
  return JSON.parse(output);
}

const call = async (name, ...args) => (await run('--method', 'tools/call', '--tool-name', name, ...args)).result.content[0].text;
const state = () => JSON.parse(readFileSync(path.join(folder, 'oauth.json'))).servers[serverUrl];
const tokens = () => JSON.parse(Object.values(JSON.parse(readFileSync(path.join(folder, 'secrets.json'))).secrets)[0]);
const who = async () => JSON.parse(await call('whoami')).subject;

const tools = (await run('--method', 'tools/list')).result.tools.map((tool) => tool.name).sort();
const story = { tools, user: await who(), upstream: JSON.parse(await call('upstream')).sub, scope: tokens().scope };
story.admin = await call('admin_echo', '--tool-arg', 'message=hello');

const old = tokens();
// What the server says is rounded down.
await sleep((old.expires_in + 1) * 1000 + 100);
story.refreshed = { user: await who(), token: tokens().access_token !== old.access_token };

// `--relogin` forgets the grant without a revocation: this version keeps the metadata where that option does not look.
const { clientInformation } = Object.values(state().byIssuer)[0];
const { revocation_endpoint } = state().discoveryState.authorizationServerMetadata;
const form = new URLSearchParams({ token: tokens().refresh_token, client_id: clientInformation.client_id });
story.revoked = (await fetch(revocation_endpoint, { method: 'POST', body: form })).status;
story.again = await who();
rmSync(folder, { recursive: true });
console.log(JSON.stringify({ ...story, client: clientInformation.client_id, seen: { logins } }));
