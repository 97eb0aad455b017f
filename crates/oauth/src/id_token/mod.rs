//! ID tokens: who logged in, said by a provider to one client about one login.
//!
//! [OpenID Connect Core 1.0 sections 2 and 3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).
//! They go the way of [access tokens](crate::jwt): parsed, screened, verified by a key of the issuer, checked. What they
//! become is another type, so that none of them passes for an access token. Not supported: encrypted and symmetrically signed
//! ones, and those of the implicit and hybrid flows.

mod access_token_hash;
mod evidence;
mod policy;

pub use evidence::IdToken;
pub use policy::IdTokenPolicy;
