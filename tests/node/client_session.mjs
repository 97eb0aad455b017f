// The life of a client whose user logs in: tools, more scopes, an access token that expires, a session that is taken back, another login.
// What it saw is written down in JSON.
import { setTimeout as sleep } from 'node:timers/promises';

// `open` makes a client and its transport; `finish` brings the user's answer to it; `stepUp` asks for more scopes where the SDK does not.
export async function live(app, { open, finish, stepUp, version }) {
  let { client, transport } = open();

  async function withLogin(action, error = () => {}) {
    try {
      return await action();
    } catch (failure) {
      await error(failure);
      if (!app.isWaiting()) throw failure;
      await finish(transport, await app.answer());
      return undefined;
    }
  }

  async function connect() {
    const connected = await withLogin(async () => { await client.connect(transport); return true; });
    if (connected) return;
    ({ client, transport } = open());
    await client.connect(transport);
  }

  async function call(name, args = {}) {
    const request = async () => (await client.callTool({ name, arguments: args })).content[0].text;
    return (await withLogin(request, stepUp)) ?? request();
  }

  const who = async () => JSON.parse(await call('whoami')).subject;

  await connect();
  const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  const story = { version: version(transport), tools, user: await who(), upstream: JSON.parse(await call('upstream')).sub };
  story.scope = app.tokens().scope;
  story.admin = await call('admin_echo', { message: 'hello' });
  story.widened = app.tokens().scope;

  const old = app.tokens();
  // What is said is rounded down.
  await sleep((old.expires_in + 1) * 1000 + 100);
  story.refreshed = { user: await who(), token: app.tokens().access_token !== old.access_token };

  const { revocation_endpoint } = app.discoveryState().authorizationServerMetadata;
  const form = new URLSearchParams({ token: app.tokens().refresh_token, client_id: app.clientInformation().client_id });
  story.revoked = (await fetch(revocation_endpoint, { method: 'POST', body: form })).status;
  story.again = await who();
  await client.close();
  app.close();
  console.log(JSON.stringify({ ...story, client: app.clientInformation().client_id, seen: app.seen }));
}
