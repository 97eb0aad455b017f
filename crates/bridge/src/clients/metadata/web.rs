//! [`is_web`]: links that are links to pages.

use url::Url;

/// Whether `text` is an `https` or `http` URL, written in a way that every parser reads alike.
pub(in crate::clients) fn is_web(text: &str) -> bool {
    let is_plain =
        text.chars().all(|character| !character.is_control() && !character.is_whitespace() && character != '\\');
    let starts = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    is_plain && starts && Url::parse(text).is_ok_and(|url| url.has_host() && url.username().is_empty())
}
