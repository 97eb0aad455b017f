//! [`GuardedResolver`]: resolves a name to the addresses that may be reached.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard::{Blocked, Guard};

/// Resolves a name to those of its addresses that may be reached; the connection goes to one of them.
pub(crate) struct GuardedResolver(pub(crate) Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| guard.allows_for(name.as_str(), address.ip())).collect();
            if allowed.is_empty() {
                return Err(Blocked::Name(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
