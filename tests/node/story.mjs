// What every client does: list the tools, call three of them, and say in JSON how that went.
export async function story(client, version) {
  const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const user = JSON.parse(await call('whoami', {}));
  const echo = await call('echo', { message: 'hello' });
  const admin = await call('admin_echo', { message: 'hello' }).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify({ version: version(), tools, user, echo, admin }));
  await client.close();
}
