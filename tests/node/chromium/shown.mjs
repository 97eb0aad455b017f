// The pages that users see, one after the other.
export async function* shown(page, site, client) {
  await page.goto(client.authorization());
  yield 'consent';
  // It goes on by itself, and the provider takes its time.
  await page.route('**/auth?*', () => {});
  await page.click('button[value=approve]');
  await page.locator('main a').waitFor();
  yield 'leaving';
  await page.unroute('**/auth?*');
  await page.goto(`${site}/authorize?client_id=nobody`);
  yield 'error';
}
