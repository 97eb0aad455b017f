// A story in Chromium. It fails by an error, and says at the end how it went.
//
// Argument: the story, a file of the folder `chromium`. Environment: SITE (the bridge, as browsers know it), PORT (where it listens),
// CLIENT (a client whose answers go to any port of 127.0.0.1, or to /callback of its site), CHROMIUM (the browser, if it is
// not in the path), PICTURES (a folder), PASSWORD (the user's, where there is one).
import { Client } from './chromium/client.mjs';
import { launch } from './chromium/window.mjs';

const { SITE: site, PORT: port, CLIENT: clientId, PICTURES: pictures, PASSWORD: password } = process.env;
const { default: story } = await import(`./chromium/${process.argv[2]}.mjs`);
const client = await Client.start({ site, port, clientId });
const browser = await launch(site, [[site, port], [client.website, client.server.address().port]]);
try {
  await story({ site, client, browser, pictures, password });
  console.log('DONE');
} finally {
  await browser.close();
  client.close();
}
