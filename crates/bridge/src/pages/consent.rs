//! The consent page.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use portcullis_core::ScopeSet;
use url::Url;

use super::{Pages, Referrer, STYLE, page};
use crate::{Client, RedirectUri, clients::ClientSource, login::AuthorizationRequest};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    style: &'static str,
    client: String,
    vouched_by: VouchedBy,
    redirect_kind: RedirectKind,
    /// The host, or the scheme of an app.
    target: String,
    redirect_uri: String,
    resource: &'a str,
    scopes: Vec<&'a str>,
    provider: &'a str,
    upstream_scopes: Vec<&'a str>,
    action: &'a str,
    form: &'a str,
}

/// The party that vouches for the client's name.
enum VouchedBy {
    Operator,
    /// The owner of the host of its metadata document.
    Host(String),
    None,
}

/// The kind of the redirect URI.
enum RedirectKind {
    Site,
    Loopback,
    App,
}

/// Limits of shown texts, so that the rest of the page stays visible.
const MAX_NAME: usize = 80;
const MAX_URI: usize = 300;

impl Pages {
    /// Creates the consent page of `request`. The browser returns the sealed `form`.
    pub(crate) fn consent(&self, client: &Client, request: &AuthorizationRequest, form: &str) -> Response {
        let redirect_uri = &request.target.redirect_uri;
        let consent = ConsentPage {
            style: STYLE,
            client: name(client),
            vouched_by: vouched_by(client),
            redirect_kind: redirect_kind(redirect_uri),
            target: sanitize_for_display(redirect_uri.display_target(), MAX_URI),
            redirect_uri: sanitize_for_display(redirect_uri.as_str(), MAX_URI),
            resource: request.resource.as_str(),
            scopes: names(&request.scopes),
            provider: &self.provider,
            upstream_scopes: names(&self.upstream_scopes),
            action: &self.consent_path,
            form,
        };
        page(StatusCode::OK, &consent, Referrer::SameOrigin)
    }
}

/// Returns the client's name.
fn name(client: &Client) -> String {
    let name = sanitize_for_display(client.name.as_deref().unwrap_or_default(), MAX_NAME);
    if name.is_empty() { "An application without a name".to_owned() } else { name }
}

fn vouched_by(client: &Client) -> VouchedBy {
    let host = || Url::parse(&client.id).ok()?.host_str().map(str::to_owned);
    match client.source {
        ClientSource::Configured => VouchedBy::Operator,
        ClientSource::Document => host().map_or(VouchedBy::None, VouchedBy::Host),
        ClientSource::Registered => VouchedBy::None,
    }
}

fn redirect_kind(redirect_uri: &RedirectUri) -> RedirectKind {
    if redirect_uri.is_loopback() {
        RedirectKind::Loopback
    } else if redirect_uri.is_app() {
        RedirectKind::App
    } else {
        RedirectKind::Site
    }
}

fn names(scopes: &ScopeSet) -> Vec<&str> {
    scopes.iter().collect()
}

/// Sanitizes untrusted text for display: one line of at most `max` characters, without control characters, directional formatting and
/// characters without width.
///
/// It does **not** escape HTML. The templates do.
fn sanitize_for_display(text: &str, max: usize) -> String {
    let visible = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_invisible(*c));
    let visible: String = visible.collect();
    let mut words = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(max) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// Reports whether `c` is in the Unicode categories Cc or Cf (the relevant part), or a blank filler.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        assert_eq!(sanitize_for_display("Good\u{202e}evil\u{200b} App\u{0}\u{7}", 80), "Goodevil App");
        assert_eq!(sanitize_for_display("\u{2066}\u{feff}\u{e0041}", 80), "");
        assert_eq!(sanitize_for_display("Café – 東京 👍", 80), "Café – 東京 👍");
    }

    #[test]
    fn text_is_one_line_of_limited_length() {
        assert_eq!(sanitize_for_display("  a\n\n\tb\u{2028}c\u{a0}\u{a0}d ", 80), "a b c d");
        assert_eq!(sanitize_for_display("東京大学", 2), "東京…");
        assert_eq!(sanitize_for_display("ab", 2), "ab");
    }
}
