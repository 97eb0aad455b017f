//! `acquire()` on a good token, and a request through the layer, beside other implementations.

use std::{
    convert::Infallible,
    error::Error,
    future::ready,
    hint::black_box,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header};
use oauth2::{
    AccessToken, EmptyExtraTokenFields, TokenResponse as _,
    basic::{BasicTokenResponse, BasicTokenType},
};
use portcullis::{
    BearerToken, Issuer, ResourceUri,
    client::{Binding, TokenLayer, TokenManager, grants::from_fn},
    oauth::TokenResponse,
};
use tokio::{runtime::Runtime, sync::Mutex};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::{
    grants::{
        access_token::{Asked, RMCP},
        rmcp::Fresh,
    },
    measure::Case,
};

/// The manager of this project.
pub(crate) const ACQUIRE: &str = "`TokenManager::acquire()` on a good token";
/// A request through the layer.
pub(crate) const LAYER: &str = "a request through `TokenLayer`, to a service that answers at once";
/// The same request without it.
pub(crate) const BARE: &str = "the same request with a header value that is at hand";
/// A message through rmcp's layer.
pub(crate) const LAYER_OF_RMCP: &str = "a message through rmcp 3.11 `AuthClient`, to a client that answers at once";
/// The same message without it.
pub(crate) const BARE_OF_RMCP: &str = "the same message with a token that is at hand";
/// What a program with the crate oauth2 does, which keeps no tokens.
const OAUTH2: &str =
    "`oauth2` 5.0: a `BasicTokenResponse` and its expiry behind the program's own `Mutex`, the token cloned";

const TIMES: usize = 2048;
const URL: &str = "https://mcp.example.test/mcp";
const TOKEN: &str = "a_0123456789012345678901234567890123456789012";
const LIFETIME: Duration = Duration::from_secs(3600);

/// Returns the cases.
pub(crate) fn cases(runtime: &Rc<Runtime>) -> Result<Vec<Case>, Box<dyn Error>> {
    let (manager, fresh) = runtime.block_on(async {
        let manager = manager()?;
        manager.acquire().await?;
        Ok::<_, Box<dyn Error>>((manager, Fresh::new().await?))
    })?;
    let kept = Kept::new();
    let fresh = Rc::new(fresh);
    let (through, bare) = (Rc::clone(&fresh), Rc::clone(&fresh));
    let layered = TokenLayer::new(manager.clone()).layer(server());
    let acquire = async move || {
        black_box(black_box(&manager).acquire().await.expect("a good token"));
    };
    let request = Request::post(URL).body(Bytes::from_static(b"{}"))?;
    let mut with_header = request.clone();
    with_header.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse()?);
    Ok(vec![
        Case::new(ACQUIRE, TIMES, Asked { runtime: Rc::clone(runtime), ask: acquire }),
        Case::new(OAUTH2, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || kept.access_token().await }),
        Case::new(RMCP, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || fresh.access_token().await }),
        Case::new(
            LAYER,
            TIMES,
            Asked { runtime: Rc::clone(runtime), ask: async move || send(&layered, &request).await },
        ),
        Case::new(
            BARE,
            TIMES,
            Asked { runtime: Rc::clone(runtime), ask: async move || send(&server(), &with_header).await },
        ),
        Case::new(LAYER_OF_RMCP, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || through.post().await }),
        Case::new(
            BARE_OF_RMCP,
            TIMES,
            Asked { runtime: Rc::clone(runtime), ask: async move || bare.post_with(TOKEN).await },
        ),
    ])
}

/// Returns a manager whose token lives for an hour.
fn manager() -> Result<TokenManager, Box<dyn Error>> {
    let binding = Binding::new(ResourceUri::new(URL)?, Issuer::new("https://as.example.test")?, "bench");
    let grant = from_fn(binding, |_| {
        let mut tokens = TokenResponse::new(BearerToken::issued(TOKEN).expect("a token"));
        tokens.expires_in = Some(LIFETIME);
        ready(Ok(tokens))
    });
    Ok(TokenManager::builder(grant).build())
}

/// A token response of the crate oauth2, as a program keeps it.
struct Kept(Mutex<(BasicTokenResponse, Instant)>);

impl Kept {
    fn new() -> Self {
        let token = AccessToken::new(TOKEN.to_owned());
        let response = BasicTokenResponse::new(token, BasicTokenType::Bearer, EmptyExtraTokenFields {});
        Self(Mutex::new((response, Instant::now() + LIFETIME)))
    }

    async fn access_token(&self) {
        let kept = black_box(self).0.lock().await;
        assert!(kept.1 > Instant::now(), "it is fresh");
        black_box(kept.0.access_token().clone());
    }
}

/// Returns a service that answers at once.
fn server()
-> impl Service<Request<Bytes>, Response = Response<()>, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
    service_fn(|request: Request<Bytes>| {
        assert!(request.headers().contains_key(header::AUTHORIZATION));
        ready(Ok(Response::new(())))
    })
}

async fn send<S>(service: &S, request: &Request<Bytes>)
where
    S: Service<Request<Bytes>, Response = Response<()>, Error: std::fmt::Debug> + Clone,
{
    black_box(service.clone().oneshot(black_box(request).clone()).await.expect("a response"));
}
