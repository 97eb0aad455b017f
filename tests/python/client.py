"""The life of a Python client whose user logs in: tools, more scopes, an expired access token, a revoked session, another login.

Arguments: the client (`sdk` or `fastmcp`), the MCP server's URL, the version of the wire, the URL of the client's metadata document (or
none). Standard output: `OPEN <url>` for each page that the user is to open, then what the client saw, in JSON.
"""
import asyncio
import json
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
import warnings
import webbrowser
from base64 import b64encode
from contextlib import asynccontextmanager
from importlib.metadata import version

VERSION = int(version('mcp').split('.')[0])
opened = []


def open_page(url):
    """Names the page as soon as the listener for the response is there: FastMCP starts its listener after it opens the page."""
    opened.append(url)
    redirect_uri = urllib.parse.urlsplit(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))['redirect_uri'])

    def wait():
        while True:
            try:
                socket.create_connection((redirect_uri.hostname, redirect_uri.port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        print('OPEN', url, flush=True)

    threading.Thread(target=wait, daemon=True).start()
    return True


class Memory:
    """The storage of the SDK's client."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def sdk_provider(url, document):
    """The SDK's OAuth client, with a listener on loopback for its authorization responses."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata

    responses = asyncio.Queue()

    async def respond(reader, writer):
        line = await reader.readline()
        if not line:
            # The connection of `open_page`.
            return writer.close()
        target = line.split()[1].decode()
        while await reader.readline() != b'\r\n':
            pass
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
        await writer.drain()
        writer.close()
        responses.put_nowait(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query)))

    listener = await asyncio.start_server(respond, '127.0.0.1', 0)
    port = listener.sockets[0].getsockname()[1]

    async def redirect(page):
        open_page(page)

    async def callback():
        response = await responses.get()
        if VERSION == 1:
            return response['code'], response.get('state')
        from mcp.shared.auth import AuthorizationCodeResult

        return AuthorizationCodeResult(code=response['code'], state=response.get('state'), iss=response.get('iss'))

    metadata = OAuthClientMetadata(
        client_name='python-sdk',
        redirect_uris=[f'http://127.0.0.1:{port}/callback'],
        grant_types=['authorization_code', 'refresh_token'],
        response_types=['code'],
        token_endpoint_auth_method='none',
    )
    return OAuthClientProvider(url, metadata, Memory(), redirect, callback, client_metadata_url=document)


@asynccontextmanager
async def sdk(url, wire, document):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    provider = await sdk_provider(url, document)
    async with create_mcp_http_client(auth=provider) as http:
        if VERSION == 1:
            async with streamable_http_client(url, http_client=http) as (read, write, _):
                async with ClientSession(read, write) as session:
                    yield provider, session, (await session.initialize()).protocolVersion
        else:
            from mcp.client import Client

            mode = 'legacy' if wire == '2025-11-25' else wire
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                yield provider, client, client.protocol_version


@asynccontextmanager
async def fastmcp(url, wire, document):
    from fastmcp import Client
    from fastmcp.client.auth import OAuth

    provider = OAuth(client_name='fastmcp', client_metadata_url=document)
    if VERSION == 1:
        async with Client(url, auth=provider) as client:
            yield provider, client, client.initialize_result.protocolVersion
    else:
        async with Client(url, auth=provider, mode='legacy' if wire == '2025-11-25' else wire) as client:
            yield provider, client, client.protocol_version


def revoke(context):
    """Revokes the refresh token, which no client here does by itself, with the client authentication that was registered."""
    client = context.client_info
    form = {'token': context.current_tokens.refresh_token, 'client_id': client.client_id}
    headers = {}
    if client.token_endpoint_auth_method == 'client_secret_basic':
        headers['authorization'] = 'Basic ' + b64encode(f'{client.client_id}:{client.client_secret}'.encode()).decode()
    elif client.client_secret:
        form['client_secret'] = client.client_secret
    endpoint = str(context.oauth_metadata.revocation_endpoint)
    request = urllib.request.Request(endpoint, urllib.parse.urlencode(form).encode(), headers)
    return urllib.request.urlopen(request).status


async def live(client, url, wire, document=None):
    async with client(url, wire, document) as (provider, session, negotiated):
        registered = set()

        async def call(name, arguments={}):
            result = await session.call_tool(name, arguments)
            registered.add(provider.context.client_info.client_id)
            return result.content[0].text

        async def user():
            return json.loads(await call('whoami'))['subject']

        tools = await session.list_tools()
        story = {'version': negotiated, 'tools': sorted(tool.name for tool in getattr(tools, 'tools', tools))}
        story['user'] = await user()
        story['upstream'] = json.loads(await call('upstream'))['sub']
        story['scope'] = provider.context.current_tokens.scope
        story['admin'] = await call('admin_echo', {'message': 'hello'})
        story['widened'] = provider.context.current_tokens.scope

        old = provider.context.current_tokens
        # What the server says is rounded down.
        await asyncio.sleep(old.expires_in + 1.1)
        name = await user()
        story['refreshed'] = {'user': name, 'token': provider.context.current_tokens.access_token != old.access_token}

        story['revoked'] = await asyncio.to_thread(revoke, provider.context)
        story['again'] = await user()
        story['client'] = provider.context.client_info.client_id
        story['seen'] = {'logins': len(opened), 'registrations': len(registered)}
    print(json.dumps(story), flush=True)


warnings.simplefilter('ignore')
webbrowser.open = open_page
asyncio.run(live({'sdk': sdk, 'fastmcp': fastmcp}[sys.argv[1]], *sys.argv[2:]))
