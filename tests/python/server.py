"""An MCP server of the Python SDK, whose authorization server is in the same process.

Every user agrees at once. Access tokens live two seconds; refresh tokens are good once. Arguments: a port. Standard output: `READY <url>`,
then `TOKEN <grant type>` for each token request that succeeds.
"""
import secrets
import sys
import time
import urllib.parse
from importlib.metadata import version

from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, TokenError
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthToken

ORIGIN = f'http://127.0.0.1:{sys.argv[1]}'
LIFE = 2


class Provider:
    """An authorization server in memory."""

    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client):
        self.clients[client.client_id] = client

    async def authorize(self, client, params):
        code = secrets.token_urlsafe()
        self.codes[code] = AuthorizationCode(
            code=code,
            client_id=client.client_id,
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        query = {'code': code, 'state': params.state}
        query = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        return f'{params.redirect_uri}?{query}'

    async def load_authorization_code(self, client, code):
        return self.codes.get(code)

    async def exchange_authorization_code(self, client, code):
        del self.codes[code.code]
        return self.issue('authorization_code', code, code.scopes)

    async def load_refresh_token(self, client, token):
        return self.refresh.get(token)

    async def exchange_refresh_token(self, client, token, scopes):
        if self.refresh.pop(token.token, None) is None:
            raise TokenError('invalid_grant')
        return self.issue('refresh_token', token, scopes or token.scopes)

    async def load_access_token(self, token):
        found = self.access.get(token)
        return found if found and found.expires_at > time.time() else None

    async def revoke_token(self, token):
        self.access.pop(token.token, None)
        self.refresh.pop(token.token, None)

    def issue(self, grant_type, presented, scopes):
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        grant = {'client_id': presented.client_id, 'scopes': scopes, 'resource': getattr(presented, 'resource', None)}
        self.access[access] = AccessToken(token=access, expires_at=int(time.time()) + LIFE, **grant)
        self.refresh[refresh] = RefreshToken(token=refresh, **grant)
        print('TOKEN', grant_type, flush=True)
        tokens = {'access_token': access, 'refresh_token': refresh, 'expires_in': LIFE, 'scope': ' '.join(scopes)}
        return OAuthToken(token_type='Bearer', **tokens)


if version('mcp').startswith('1.'):
    from mcp.server.fastmcp import FastMCP as Server

    serving = {}
    place = {'host': '127.0.0.1', 'port': int(sys.argv[1])}
else:
    from mcp.server.mcpserver import MCPServer as Server

    serving = {'host': '127.0.0.1', 'port': int(sys.argv[1])}
    place = {}

options = ClientRegistrationOptions(enabled=True, valid_scopes=['tools'], default_scopes=['tools'])
settings = AuthSettings(
    issuer_url=ORIGIN,
    resource_server_url=f'{ORIGIN}/mcp',
    required_scopes=['tools'],
    client_registration_options=options,
    validate_token_resource=True,
)
server = Server('python', auth_server_provider=Provider(), auth=settings, **place)


@server.tool()
def greet(name: str) -> str:
    return f'Hello {name}'


print('READY', f'{ORIGIN}/mcp', flush=True)
server.run('streamable-http', **serving)
