// The pages that users see, one after the other.
export async function* pages(page, site, client) {
  await page.goto(client.authorization());
  // Its buttons come late.
  await page.locator('button[value=approve]').waitFor();
  yield 'consent';
  // It would go on by itself.
  await page.route(`${site}/consent`, async (route) => {
    const { host, connection, 'content-length': length, ...headers } = await route.request().allHeaders();
    const response = await client.post('/consent', headers, route.request().postData());
    const body = (await response.text()).replace(/<meta http-equiv="refresh"[^>]*>/, '');
    await route.fulfill({ status: response.status, headers: Object.fromEntries(response.headers), body });
  });
  await page.click('button[value=approve]');
  await page.locator('main a').waitFor();
  yield 'leaving';
  await page.unroute(`${site}/consent`);
  await page.goto(`${site}/authorize?client_id=unknown`);
  yield 'error';
}
