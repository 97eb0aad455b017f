//! Sealed texts: what others keep and bring back.

use portcullis_store::{Expected, Store as _};

use crate::fixture::{Fixture, key};

#[test]
fn a_text_opens_for_the_purpose_that_it_was_sealed_for() {
    let records = Fixture::new().with_keys(&[1]);
    for plain in [&b"a request"[..], b"", &[0xff; 5000]] {
        let text = records.seal_text("consent form", plain);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(records.open_text("consent form", &text).expect("opens").as_slice(), plain);
        for other in ["", "consent", "consent form ", "Consent form"] {
            assert!(records.open_text(other, &text).is_none(), "{other}");
        }
        assert_ne!(records.seal_text("consent form", plain), text, "no two alike");
    }
}

#[test]
fn a_text_opens_after_a_change_of_keys_until_the_old_one_goes() {
    let fixture = Fixture::new();
    let text = fixture.with_keys(&[1]).seal_text("form", b"a request");
    assert!(fixture.with_keys(&[2, 1]).open_text("form", &text).is_some());
    assert!(fixture.with_keys(&[2]).open_text("form", &text).is_none());
}

#[test]
fn a_text_that_was_changed_does_not_open() {
    let records = Fixture::new().with_keys(&[1]);
    let text = records.seal_text("form", b"a request");
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        assert!(records.open_text("form", &changed).is_none(), "{at}");
        assert!(records.open_text("form", &text[..at]).is_none(), "{at}");
    }
    for other in [format!("{text}="), format!("{text}A"), format!(" {text}"), format!("{text}\n")] {
        assert!(records.open_text("form", &other).is_none(), "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sealed_for_a_row_is_no_text_and_the_other_way_round() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(1), &"a value", fixture.soon()).await.unwrap().expect("there is none");
    let mut row = fixture.rows.load(key(1)).await.unwrap().expect("a row");
    let as_text = URL_SAFE_NO_PAD.encode(&row.row.sealed);
    assert!(records.open_text("form", &as_text).is_none());

    let text = records.seal_text("form", b"\"a value\"");
    row.row.sealed = URL_SAFE_NO_PAD.decode(text).expect("base64url").into();
    fixture.rows.compare_and_swap(key(1), Expected::Unexpired(row.version), row.row, None).await.unwrap();
    records.load::<String>(key(1)).await.unwrap_err();
}
