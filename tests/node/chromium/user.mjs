// What users do on pages.
import assert from 'node:assert/strict';

// Opens the page that asks for consent.
export async function open(page, client) {
  const response = await page.goto(client.authorization());
  assert.equal(response.status(), 200);
  await page.locator('button[value=approve]').waitFor();
}

// Says yes, and goes on to the provider.
export async function approve(page) {
  await page.click('button[value=approve]');
  await page.waitForURL('**/interaction/**');
}

// Logs in at the provider, and stands before the page that asks whether that is agreed.
export async function signIn(page, user) {
  await page.fill('input[name=login]', user);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.locator('input[name=prompt][value=consent]').waitFor({ state: 'attached' });
}

// Logs in at the provider, and agrees there.
export async function logIn(page, user) {
  await signIn(page, user);
  await page.click('button[type=submit]');
}

// Everything, until the client has its answer.
export async function whole(page, client, user) {
  await open(page, client);
  await approve(page);
  await logIn(page, user);
  await back(page, client);
}

// At the client, with an answer.
export async function back(page, client) {
  await page.waitForURL((url) => url.href.startsWith(`${client.redirectUri}?`));
}
