//! [`GrantStore`](portcullis_refresh::GrantStore): what is in the store is of no use without the keys, and keys can be changed.

mod fixture;
mod rotation;
mod sealed;
