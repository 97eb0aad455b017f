//! [`UserAgent`]: how the user gets to the authorization server, and how its response gets back: by a browser and a listener on loopback, or by the application.

use std::{
    convert::Infallible, error::Error, fmt, future::Future, io, net::Ipv4Addr, pin::Pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use url::{Host, Url};

type BoxError = Box<dyn Error + Send + Sync>;
type Open = Arc<dyn Fn(&str) -> Result<(), BoxError> + Send + Sync>;
type Receive = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>> + Send + Sync>;

/// How long a connection to the listener may take, the exchange of the code included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How the user gets to the authorization server, and how the authorization response gets back.
///
/// The URL that a hook gets is `https`, or `http` on loopback. It must be given to a browser as one argument, never to a shell.
///
/// ```
/// use portcullis_client::UserAgent;
///
/// // A listener on a free port of 127.0.0.1, and a browser that the application opens.
/// let browser = UserAgent::loopback(|url| Ok(println!("Open {url}")));
/// assert_eq!(browser.redirect_uri(), "http://127.0.0.1/callback");
///
/// // The user copies the URL at which the browser has arrived.
/// let paste = UserAgent::custom("https://app.example.com/callback", |url| async move {
///     println!("Open {url}, and paste the URL of the page on which you arrive");
///     let mut line = String::new();
///     std::io::stdin().read_line(&mut line)?;
///     Ok(line)
/// });
/// assert_eq!(paste.redirect_uri(), "https://app.example.com/callback");
/// ```
#[derive(Clone)]
pub struct UserAgent(Kind);

#[derive(Clone)]
enum Kind {
    Loopback { uri: Url, open: Open },
    Custom { uri: Arc<str>, receive: Receive },
}

/// The error of a text that is not a redirect URI that this application can receive responses at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "not the redirect URI of a listener, which is an http URL on loopback such as http://127.0.0.1:8080/callback: {0:?}"
)]
#[non_exhaustive]
pub struct InvalidRedirectUri(pub String);

impl UserAgent {
    /// Creates a user agent that opens each authorization URL by `open` and receives the response at a listener on `127.0.0.1`, on a port that
    /// the operating system chooses for each login.
    ///
    /// [RFC 8252 section 7.3](https://www.rfc-editor.org/rfc/rfc8252#section-7.3): the authorization server accepts any port.
    pub fn loopback(open: impl Fn(&str) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        let uri = Url::parse("http://127.0.0.1/callback").expect("a constant is a URL");
        Self(Kind::Loopback { uri, open: Arc::new(open) })
    }

    /// Creates a user agent that opens the browser of the operating system.
    #[cfg(feature = "browser")]
    #[must_use]
    pub fn browser() -> Self {
        // No shell is involved on any system: the URL is one argument of a program, or of a function of the system.
        Self::loopback(|url| Ok(webbrowser::open(url)?))
    }

    /// Creates a user agent of the application: `receive` gets the authorization URL and returns the URL below `redirect_uri` to which the
    /// browser was redirected, or its query.
    pub fn custom<F>(redirect_uri: &str, receive: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        let receive: Receive = Arc::new(move |url| Box::pin(receive(url)));
        Self(Kind::Custom { uri: redirect_uri.into(), receive })
    }

    /// Sets the redirect URI of the listener, for clients that were registered with another one than `http://127.0.0.1/callback`. With a
    /// port, the listener has this port.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] if it is not an `http` URL on loopback, or if there is no listener.
    pub fn with_redirect_uri(self, redirect_uri: &str) -> Result<Self, InvalidRedirectUri> {
        let invalid = || InvalidRedirectUri(redirect_uri.to_owned());
        let uri = Url::parse(redirect_uri).map_err(|_| invalid())?;
        let is_loopback = match uri.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
            _ => false,
        };
        let is_plain = uri.scheme() == "http" && uri.query().is_none() && uri.fragment().is_none();
        match self.0 {
            Kind::Loopback { open, .. } if is_loopback && is_plain => Ok(Self(Kind::Loopback { uri, open })),
            _ => Err(invalid()),
        }
    }

    /// Returns the redirect URI, without the port that is chosen for each login.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        match &self.0 {
            Kind::Loopback { uri, .. } => uri.as_str(),
            Kind::Custom { uri, .. } => uri,
        }
    }

    /// Starts to receive one authorization response: at one of the `registered` redirect URIs if possible.
    pub(crate) async fn start(&self, registered: &[String]) -> io::Result<Redirect> {
        let (uri, open) = match &self.0 {
            Kind::Custom { uri, receive } => {
                let (uri, receiver) = (uri.to_string(), Receiver::Custom(Arc::clone(receive)));
                return Ok(Redirect { uri, receiver });
            }
            Kind::Loopback { uri, open } => (uri, open),
        };
        let registered = registered.iter().find_map(|uri| Url::parse(uri).ok()?.port());
        let listener = match (uri.port(), registered) {
            (Some(port), _) => listen(port).await?,
            (None, Some(port)) => match listen(port).await {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::debug!(%error, port, "the registered port is in use: another one is taken");
                    listen(0).await?
                }
            },
            (None, None) => listen(0).await?,
        };
        let mut uri = uri.clone();
        if uri.set_port(Some(listener.local_addr()?.port())).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (arrivals, arrived) = mpsc::channel(1);
        let accepting = AbortOnDrop(tokio::spawn(accept(listener, uri.clone(), arrivals)));
        let receiver = Receiver::Loopback { open: Arc::clone(open), arrived, _accepting: accepting };
        Ok(Redirect { uri: uri.into(), receiver })
    }
}

async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// The reception of one authorization response. The listener is closed when this is dropped.
pub(crate) struct Redirect {
    uri: String,
    receiver: Receiver,
}

enum Receiver {
    Loopback { open: Open, arrived: mpsc::Receiver<Arrival>, _accepting: AbortOnDrop },
    Custom(Receive),
}

/// A query that has arrived at the redirect URI, and the browser that waits for a page.
pub(crate) struct Arrival {
    pub(crate) query: String,
    browser: Option<oneshot::Sender<Page>>,
}

/// What the user reads in the browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Page {
    /// The login is complete.
    Done,
    /// The request belongs to no login that is in progress.
    Foreign,
    /// The login has failed; the text says why.
    Failed(String),
}

impl Redirect {
    /// Returns the redirect URI for the requests of this login.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Opens `url`, and returns the first arrival that `is_ours`.
    pub(crate) async fn arrival(&mut self, url: &str, is_ours: impl Fn(&str) -> bool) -> Result<Arrival, BoxError> {
        match &mut self.receiver {
            Receiver::Custom(receive) => {
                let arrived = receive(url.to_owned()).await?;
                let arrived = arrived.trim();
                let query = arrived.split_once('?').map_or(arrived, |(_, query)| query);
                let query = query.split_once('#').map_or(query, |(query, _)| query);
                if is_ours(query) {
                    Ok(Arrival { query: query.to_owned(), browser: None })
                } else {
                    Err(NOT_OURS.into())
                }
            }
            Receiver::Loopback { open, arrived, .. } => {
                open(url)?;
                while let Some(arrival) = arrived.recv().await {
                    if is_ours(&arrival.query) {
                        return Ok(arrival);
                    }
                    // Any website can send a browser here: such a request does not end the login.
                    arrival.show(Page::Foreign);
                }
                Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
            }
        }
    }
}

const NOT_OURS: &str = "the response does not belong to this login: its state is another one";

impl Arrival {
    /// Shows `page` in the browser.
    pub(crate) fn show(self, page: Page) {
        // An error means that the browser is gone.
        let _gone = self.browser.map(|browser| browser.send(page));
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, uri: Url, arrivals: mpsc::Sender<Arrival>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors, perhaps.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (uri, arrivals) = (uri.clone(), arrivals.clone());
        let service = service_fn(move |request| {
            let (uri, arrivals) = (uri.clone(), arrivals.clone());
            async move { Ok::<_, Infallible>(respond(&request, &uri, &arrivals).await) }
        });
        // Not ended with the listener: the browser reads the page after the login is complete.
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(64 * 1024)
                .keep_alive(false)
                .serve_connection(TokioIo::new(socket), service);
            if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
                tracing::debug!(%error, "a connection to the redirect URI ended");
            }
        });
    }
}

async fn respond(request: &Request<Incoming>, uri: &Url, arrivals: &mpsc::Sender<Arrival>) -> Response<Full<Bytes>> {
    // A name that resolves to this machine is not the redirect URI.
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let expected = &uri[url::Position::BeforeHost..url::Position::AfterPort];
    if request.uri().path() != uri.path() || !host.is_some_and(|host| host.eq_ignore_ascii_case(expected)) {
        return html(StatusCode::NOT_FOUND, "Not found", "There is nothing at this URL.");
    }
    if request.method() != Method::GET {
        return html(StatusCode::METHOD_NOT_ALLOWED, "Not allowed", "Only GET is allowed at this URL.");
    }
    let (browser, page) = oneshot::channel();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_sent = arrivals.send(Arrival { query, browser: Some(browser) }).await.is_ok();
    match if is_sent { page.await.ok() } else { None } {
        Some(Page::Done) => {
            html(StatusCode::OK, "Logged in", "You can close this window and return to the application.")
        }
        Some(Page::Failed(why)) => html(StatusCode::BAD_REQUEST, "Not logged in", &why),
        Some(Page::Foreign) | None => {
            html(StatusCode::BAD_REQUEST, "Not logged in", "This request belongs to no login that is in progress.")
        }
    }
}

/// Renders a page. `text` may come from the authorization server and is escaped.
fn html(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    let mut page =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>");
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
    page.push_str("</p></html>\n");
    let mut response = Response::new(Full::new(page.into()));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAgent").field("redirect_uri", &self.redirect_uri()).finish_non_exhaustive()
    }
}
