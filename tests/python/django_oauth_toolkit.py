"""An authorization server made with django-oauth-toolkit, on loopback. Users are logged in by name; the application `upstream` needs consent.

Access tokens are opaque, refresh tokens are rotated, and a refresh token that is used twice ends its grant.

Environment: AT_TTL (seconds), GATE_SECRET (the resource server's), CALLBACK (the redirect URI of the application `upstream`), FOLDER
(where the database is). A user is named by the parameter `login_hint` of the authorization request; the default is alice.
Standard output: `READY <issuer>`, then a line for each request: method, path, status.
"""
import os
import sys

import django
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

APPS = ['django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.sessions', 'oauth2_provider']
REDIRECT_URI = 'http://127.0.0.1:1/callback'


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


class Automatic:
    """Logs the browser in, and writes a line for each request."""

    def __init__(self, respond):
        self.respond = respond

    def __call__(self, request):
        from django.contrib.auth import get_user_model, login

        if request.path.startswith('/o/authorize') and not request.user.is_authenticated:
            name = request.GET.get('login_hint', 'alice')
            user, _ = get_user_model().objects.get_or_create(username=name, defaults={'email': f'{name}@example.test'})
            login(request, user)
        response = self.respond(request)
        print(request.method, request.path, response.status_code, flush=True)
        return response


def configure(issuer):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    context_processors = ['django.template.context_processors.request', 'django.contrib.auth.context_processors.auth']
    settings.configure(
        SECRET_KEY=os.urandom(32).hex(),
        ALLOWED_HOSTS=['127.0.0.1'],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
        LOGGING_CONFIG=None,
        INSTALLED_APPS=APPS,
        # The secrets of the clients are no passwords: a fast hash is enough.
        PASSWORD_HASHERS=['django.contrib.auth.hashers.MD5PasswordHasher'],
        # The tables are made from the models, which is faster than by the migrations.
        MIGRATION_MODULES={app.split('.')[-1]: None for app in APPS},
        MIDDLEWARE=[
            'django.contrib.sessions.middleware.SessionMiddleware',
            'django.contrib.auth.middleware.AuthenticationMiddleware',
            f'{__name__}.Automatic',
        ],
        TEMPLATES=[{
            'BACKEND': 'django.template.backends.django.DjangoTemplates',
            'APP_DIRS': True,
            'OPTIONS': {'context_processors': context_processors},
        }],
        DATABASES={'default': {
            'ENGINE': 'django.db.backends.sqlite3',
            'NAME': os.path.join(os.environ['FOLDER'], 'db.sqlite3'),
            # Writers wait for each other rather than fail.
            'OPTIONS': {'timeout': 30, 'transaction_mode': 'IMMEDIATE'},
        }},
        OAUTH2_PROVIDER={
            'ACCESS_TOKEN_EXPIRE_SECONDS': int(os.environ.get('AT_TTL', '300')),
            'ALLOWED_REDIRECT_URI_SCHEMES': ['http', 'https'],
            'DCR_ENABLED': True,
            'DCR_REGISTRATION_PERMISSION_CLASSES': ('oauth2_provider.dcr.AllowAllDCRPermission',),
            'OIDC_ENABLED': True,
            'OIDC_ISS_ENDPOINT': issuer,
            'OIDC_RSA_PRIVATE_KEY': key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            'PKCE_REQUIRED': True,
            'REFRESH_TOKEN_REUSE_PROTECTION': True,
            'ROTATE_REFRESH_TOKEN': True,
            'SCOPES': {'openid': 'OpenID', 'mcp:read': 'Read', 'mcp:admin': 'Administer', 'introspection': 'Introspect'},
        },
    )


def fill():
    from django.core.management import call_command
    from oauth2_provider.models import get_application_model

    call_command('migrate', run_syncdb=True, verbosity=0)
    application = get_application_model()

    def add(client_id, secret, grant_type, redirect_uris='', skip_authorization=True):
        application.objects.create(
            name=client_id, client_id=client_id, client_secret=secret, redirect_uris=redirect_uris,
            client_type='confidential', authorization_grant_type=grant_type, skip_authorization=skip_authorization,
            algorithm='RS256')

    add('app', 'app-secret', 'authorization-code', REDIRECT_URI)
    add('upstream', 'upstream-secret', 'authorization-code', os.environ.get('CALLBACK', REDIRECT_URI), False)
    add('robot', 'robot-secret', 'client-credentials')
    add('gate', os.environ.get('GATE_SECRET', 'gate-secret'), 'client-credentials')


if __name__ == '__main__':
    # The settings name this file by its module.
    __name__ = 'django_oauth_toolkit'
    sys.modules[__name__] = sys.modules['__main__']
    server = ThreadedWSGIServer(('127.0.0.1', 0), Quiet)
    issuer = f'http://127.0.0.1:{server.server_port}'
    configure(issuer)
    django.setup()

    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path
    from oauth2_provider import urls

    well_known = urls.metadata_urlpatterns + urls.oidc_urlpatterns
    urlpatterns = [path('', include((well_known, 'oauth2_provider'), namespace='root')), path('o/', include(urls))]
    fill()
    server.set_app(get_wsgi_application())
    print('READY', issuer, flush=True)
    server.serve_forever()
