// A page of another site.
import http from 'node:http';

// `html` makes it; `host` is its name, by which it is another site or merely another origin.
export async function otherSite(html, argument, host = 'localhost') {
  const server = http.createServer((_req, res) => {
    res.setHeader('content-type', 'text/html; charset=utf-8');
    res.end(`<!doctype html><title>Win a prize</title>${html(argument)}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://${host}:${server.address().port}/`, close: () => server.close() };
}
