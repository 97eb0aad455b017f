//! The consent endpoint: the user answers.

use axum::extract::{Request, State};
use http::{HeaderMap, request::Parts};

use super::{form, to_user::tell};
use crate::{
    Bridge, Client,
    answer::Answer,
    inner::Inner,
    login::{ApprovedRequest, Browser, ClientFingerprint, ConsentForm, Problem, ProviderRedirect, is_same_origin},
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
    telemetry::LoginOutcome,
};

/// `POST /consent`: the form of the consent page, from a page of ours, in the browser that it was shown in.
pub(crate) async fn consent(State(bridge): State<Bridge>, request: Request) -> Answer {
    let inner = bridge.inner();
    let answer = async {
        check_origin(request.headers(), inner)?;
        let (head, posted) = form(request).await?;
        answer(inner, &head, &posted).await
    };
    answer.await.unwrap_or_else(|problem| tell(inner, problem))
}

async fn answer(inner: &Inner, head: &Parts, posted: &Parameters) -> Result<Answer, Problem> {
    let shown = shown(inner, posted)?;
    check_browser(inner, &head.headers, &shown)?;
    check_age(inner, &shown)?;
    let client = client(inner, head, &shown).await?;
    match posted.required("decision")? {
        "approve" => approve(inner, head, &client, shown).await,
        "deny" => Ok(deny(inner, &client, &shown)),
        _ => Err(OAuthError::invalid_request("the decision must be approve or deny").into()),
    }
}

/// A form of somebody else's page is none.
fn check_origin(headers: &HeaderMap, inner: &Inner) -> Result<(), OAuthError> {
    if !is_same_origin(headers, &inner.urls) {
        return Err(OAuthError::invalid_request("this form was not sent from a page of this server").forbidden());
    }
    Ok(())
}

/// What the user was asked.
fn shown(inner: &Inner, posted: &Parameters) -> Result<ConsentForm, OAuthError> {
    let sealed = posted.required("request")?;
    ConsentForm::open(sealed, &inner.records)
        .ok_or_else(|| OAuthError::invalid_request("this form was not made by this server"))
}

/// A form that was shown to somebody else is no answer of this user.
fn check_browser(inner: &Inner, headers: &HeaderMap, shown: &ConsentForm) -> Result<(), Problem> {
    let is_shown_here = Browser::of(headers, inner.cookies).is_some_and(|browser| browser.hash() == shown.browser);
    if !is_shown_here {
        return Err(again("this page was not shown in this browser, or the browser keeps no cookies", shown));
    }
    Ok(())
}

fn check_age(inner: &Inner, shown: &ConsentForm) -> Result<(), Problem> {
    if inner.clock.now() >= shown.shown_at() + inner.config.login_ttl {
        return Err(again("this page was open for too long", shown));
    }
    Ok(())
}

/// The client, which must be what the user was shown.
async fn client(inner: &Inner, head: &Parts, shown: &ConsentForm) -> Result<Client, Problem> {
    let caller = inner.limits.caller(&head.headers, &head.extensions);
    let client = inner.clients.find(&shown.request.client_id, &caller).await?;
    if ClientFingerprint::of(&client) != shown.client {
        return Err(again("the application has changed what it says of itself", shown));
    }
    Ok(client)
}

fn again(description: &'static str, shown: &ConsentForm) -> Problem {
    Problem::Again(OAuthError::invalid_request(description), shown.request.query())
}

/// The user goes on to the provider.
async fn approve(inner: &Inner, head: &Parts, client: &Client, shown: ConsentForm) -> Result<Answer, Problem> {
    let consented = ApprovedRequest { client, request: shown.request, browser: shown.browser, user: None };
    let departure = ProviderRedirect::prepare(inner, head, consented).await?;
    let mut answer = inner.pages.leaving_to_provider(&departure.url);
    departure.mark(head, answer.headers_mut(), inner);
    Ok(answer)
}

/// The user goes back, and the client is told. To the site of a client that nobody vouches for, the user goes by themselves or not at
/// all: whoever refuses may have reasons.
fn deny(inner: &Inner, client: &Client, shown: &ConsentForm) -> Answer {
    inner.telemetry.login(LoginOutcome::Denied);
    let error = OAuthError::new(ErrorCode::AccessDenied, "the user did not allow it");
    let target = &shown.request.target;
    let (place, url) = (target.redirect_uri.display_target(), target.with_error(&error, &inner.config.issuer));
    let is_on_this_device = target.redirect_uri.is_loopback() || target.redirect_uri.is_app();
    if is_on_this_device || inner.clients.is_trusted(client) {
        inner.pages.leaving(place, &url)
    } else {
        inner.pages.error_back(&error, place, &url)
    }
}
