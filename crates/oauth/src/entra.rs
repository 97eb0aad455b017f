//! Entra ID: the issuers of a tenant, and the template of an application for several tenants.
//!
//! A tenant has two issuers with the same keys: that of tokens of version 2, and that of version 1, which an API gets unless its
//! application says otherwise (`accessTokenAcceptedVersion`). The metadata of `common` and `organizations` names no issuer but a
//! [template](PLACEHOLDER) for all tenants.

use http::Uri;
use portcullis_core::{InvalidUri, Issuer};

/// The part of a template that stands for the tenant: `https://login.microsoftonline.com/{tenantid}/v2.0`.
pub const PLACEHOLDER: &str = "{tenantid}";

const AUTHORITY: &str = "https://login.microsoftonline.com/";
const V1_AUTHORITY: &str = "https://sts.windows.net/";

/// An error for a tenant or template that does not name issuers.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTenant {
    /// Not the ID of a tenant, which `iss` has, but its domain name or another text.
    #[error("not the ID of a tenant (a GUID), as `iss` has it: {0:?}")]
    NotAnId(String),
    /// Not a template.
    #[error("not a URL that ends in /{{tenantid}}/v2.0: {0:?}")]
    NotATemplate(String),
    /// The issuer is not a URL.
    #[error(transparent)]
    InvalidUri(#[from] InvalidUri),
}

/// Returns the issuer of the tokens of version 2 of `tenant`, by the `template` in the metadata.
///
/// ```
/// use portcullis_oauth::entra;
///
/// let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
/// let issuer = entra::tenant_issuer(template, "72f988bf-86f1-41af-91ab-2d7cd011db47")?;
/// assert_eq!(issuer.as_str(), "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0");
/// let v1 = entra::v1_issuer(&issuer).expect("an issuer of Entra ID");
/// assert_eq!(v1.as_str(), "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/");
/// assert!(entra::tenant_issuer(template, "contoso.onmicrosoft.com").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidTenant`].
pub fn tenant_issuer(template: &str, tenant: &str) -> Result<Issuer, InvalidTenant> {
    if !is_tenant_id(tenant) {
        return Err(InvalidTenant::NotAnId(tenant.to_owned()));
    }
    Ok(Issuer::new(&format!("{}{tenant}/v2.0", authority(template)?))?)
}

/// Returns the URL of the keys of all tenants that `template` stands for. The keys of a template's metadata are these.
///
/// # Errors
/// [`InvalidTenant`].
pub fn key_set_url(template: &str) -> Result<Uri, InvalidTenant> {
    let url = format!("{}common/discovery/v2.0/keys", authority(template)?);
    url.parse().map_err(|_| InvalidTenant::NotATemplate(template.to_owned()))
}

/// Returns the issuer of the tokens of version 1 of the same tenant, if `issuer` is that of version 2 in the public cloud.
#[must_use]
pub fn v1_issuer(issuer: &Issuer) -> Option<Issuer> {
    let tenant =
        issuer.as_str().strip_prefix(AUTHORITY)?.strip_suffix("/v2.0").filter(|tenant| is_tenant_id(tenant))?;
    Issuer::new(&format!("{V1_AUTHORITY}{tenant}/")).ok()
}

fn authority(template: &str) -> Result<&str, InvalidTenant> {
    let authority = template.strip_suffix("/v2.0").and_then(|text| text.strip_suffix(PLACEHOLDER));
    authority
        .filter(|authority| authority.ends_with('/'))
        .ok_or_else(|| InvalidTenant::NotATemplate(template.to_owned()))
}

fn is_tenant_id(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn a_template_stands_for_the_issuers_of_tenant_ids() {
        let template = "https://login.microsoftonline.us/{tenantid}/v2.0";
        let issuer = tenant_issuer(template, TENANT).expect("issuer");
        assert_eq!(issuer.as_str(), format!("https://login.microsoftonline.us/{TENANT}/v2.0"));
        assert_eq!(v1_issuer(&issuer), None, "another cloud");
        let keys = key_set_url(template).expect("keys");
        assert_eq!(keys, "https://login.microsoftonline.us/common/discovery/v2.0/keys");
        for tenant in ["common", "", "contoso.com", "72F988BF-86F1-41AF-91AB-2D7CD011DB47", &format!("{TENANT}/x")] {
            assert_eq!(tenant_issuer(template, tenant), Err(InvalidTenant::NotAnId(tenant.to_owned())));
        }
        for template in ["https://a.example/common/v2.0", "{tenantid}/v2.0", "https://a.example/x{tenantid}/v2.0", ""] {
            assert_eq!(key_set_url(template), Err(InvalidTenant::NotATemplate(template.to_owned())));
        }
    }

    #[test]
    fn only_the_issuer_of_a_tenant_has_one_of_version_1() {
        for text in [
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/",
            "https://login.microsoftonline.com.example/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        ] {
            assert_eq!(v1_issuer(&Issuer::new(text).expect(text)), None, "{text}");
        }
    }
}
