//! One ES256 token has two encodings: a signature (r, s), and (r, n - s), which anyone can compute from it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, BearerToken, Reason, UserContext, VerifyToken};
use portcullis_testkit::TestClock;
use portcullis_verify::{Cache, CacheConfig};
use tower::ServiceExt as _;

use crate::{
    accepted::{policy, verifier},
    signing::{NOW, P256, bearer, encode, jwks},
};

/// The order of P-256. [SEC 2 section 2.4.2](https://www.secg.org/sec2-v2.pdf)
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Returns the other encoding of `token`.
fn twin(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrow = 0;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    format!("{signed}.{}", encode(signature))
}

/// Creates a cache around a verifier of ES256 tokens that counts its calls.
fn cache() -> (Cache<impl VerifyToken<Future: Send> + Clone + Send + Sync + 'static>, Arc<AtomicUsize>) {
    let (verifier, calls) = (verifier(policy(), &jwks(&[&P256])), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&calls);
    let counted = tower::service_fn(move |token: BearerToken| {
        counter.fetch_add(1, Ordering::Relaxed);
        verifier.clone().oneshot(token)
    });
    let config = CacheConfig::new().with_clock(Arc::new(TestClock::starting_at(NOW)));
    (Cache::around(counted, config), calls)
}

async fn ask<V>(cache: &Cache<V>, token: &str) -> Result<Arc<UserContext>, AuthError>
where
    V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    cache.clone().oneshot(bearer(token)).await
}

#[tokio::test]
async fn both_encodings_are_accepted_and_an_invalidation_by_either_reaches_both() {
    let token = P256.token(|_, _| {});
    let other = twin(&token);
    assert_ne!(token, other);
    assert_eq!(twin(&other), token);
    for withdrawn in [&token, &other] {
        let (cache, calls) = cache();
        let mut contexts = Vec::new();
        for presented in [&token, &other] {
            for _ in 0..10 {
                contexts.push(ask(&cache, presented).await.expect("valid"));
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2, "each is verified once, and then a hit");
        cache.handle().invalidate_token(&bearer(withdrawn)).await;
        let open = contexts.iter().filter(|context| !context.revocation().is_revoked()).count();
        for presented in [&token, &other] {
            ask(&cache, presented).await.expect("valid");
        }
        assert_eq!((open, calls.load(Ordering::Relaxed)), (0, 4), "contexts still open, verifications");
    }
}

#[tokio::test]
async fn an_invalidation_by_either_encoding_removes_the_refusal_of_the_other() {
    let token = P256.token(|_, claims| claims["aud"] = "https://other.example.com".into());
    let other = twin(&token);
    let (cache, calls) = cache();
    let ask_both_twice = async || {
        for presented in [&token, &other, &token, &other] {
            assert_eq!(ask(&cache, presented).await.expect_err("refused").reason(), Reason::WrongAudience);
        }
        calls.load(Ordering::Relaxed)
    };
    assert_eq!(ask_both_twice().await, 2, "each refusal is remembered");
    cache.handle().invalidate_token(&bearer(&token)).await;
    assert_eq!(ask_both_twice().await, 4);
}

#[tokio::test]
async fn a_forged_signature_is_never_a_hit_and_invalidates_nothing() {
    let token = P256.token(|_, _| {});
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let mut forged = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    forged[63] ^= 1;
    let forged = format!("{signed}.{}", encode(forged));
    let (cache, calls) = cache();
    let user = ask(&cache, &token).await.expect("valid");
    let refusal = ask(&cache, &forged).await.expect_err("forged");
    assert_eq!(refusal.reason(), Reason::BadSignature);
    assert!(!user.revocation().is_revoked(), "a refusal of what anyone can forge is no statement about the token");
    ask(&cache, &token).await.expect("a hit");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_spare_bits_of_the_last_character_make_no_further_encoding() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let token = P256.token(|_, _| {});
    let (rest, last) = token.split_at(token.len() - 1);
    let (cache, _) = cache();
    let mut accepted = 0;
    for letter in ALPHABET {
        let presented = format!("{rest}{}", char::from(*letter));
        accepted += usize::from(ask(&cache, &presented).await.is_ok());
    }
    assert_eq!((accepted, ALPHABET.iter().any(|letter| [*letter] == last.as_bytes())), (1, true));
}
