//! The page between ours and another place.

use askama::Template;
use http::StatusCode;

use super::{
    Pages,
    answer::{Referrer, page},
};
use crate::answer::Answer;

#[derive(Template)]
#[template(path = "leaving.html")]
struct LeavingPage<'a> {
    style: &'static str,
    place: &'a str,
    url: &'a str,
}

impl Pages {
    /// Sends the browser on to the provider at `url`, after a form: a redirect would be a target of that form, and those are ours alone
    /// (CSP `form-action`).
    pub(crate) fn leaving_to_provider(&self, url: &str) -> Answer {
        self.leaving(&self.provider, url)
    }

    /// Sends the browser on to `place` at `url`, after a form.
    pub(crate) fn leaving(&self, place: &str, url: &str) -> Answer {
        let leaving = LeavingPage { style: Self::STYLE, place, url };
        page(StatusCode::OK, &leaving, &self.content_security_policy, Referrer::Nobody)
    }
}
