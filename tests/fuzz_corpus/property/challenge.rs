//! `Challenge`: what is read can be written and read again, and no value breaks out of its parameter.

use portcullis_core::Challenge;

pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(challenges) = Challenge::parse(text) {
        let written: Vec<_> = challenges.iter().map(ToString::to_string).collect();
        assert_eq!(Challenge::parse(&written.join(", ")).as_ref(), Ok(&challenges));
        for challenge in &challenges {
            let names: Vec<_> = challenge.params().map(|(name, _)| name.to_ascii_lowercase()).collect();
            assert!((1..names.len()).all(|at| !names[..at].contains(&names[at])), "a parameter twice");
        }
    }
    let ours = Challenge::bearer().with("error", "invalid_token").with("error_description", text);
    let value = ours.to_header_value();
    let read = Challenge::parse(value.to_str().expect("visible ASCII")).expect("what we write");
    assert_eq!(read, [ours]);
    assert_eq!(read[0].params().count(), 2);
}
