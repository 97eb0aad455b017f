//! Serialized forms in rows and tokens: [`base64_bytes`] and [`seconds`].

/// A fixed number of bytes as base64url without padding.
pub(crate) mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// Encodes `bytes`.
    pub(crate) fn encode<const N: usize>(bytes: &[u8; N]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes exactly `N` bytes.
    pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (len == N).then_some(bytes)
    }

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| de::Error::custom("not base64url of the expected length"))
    }
}

/// A time as whole seconds since the epoch.
pub(crate) mod seconds {
    use portcullis_core::UnixTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(deserializer).map(UnixTime::from_secs)
    }
}
