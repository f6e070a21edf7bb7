//! The HTTP client of one server: its own CA instead of the system's, a client certificate, a server name other than
//! the host, and none of the conveniences that would send a token elsewhere (redirects, proxies, cookies, retries).

use std::net::IpAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Identity, Url};
use secrecy::ExposeSecret;

use super::connect::Unresolved;
use super::error::VaultError;
use super::server::{Deadlines, ServerSettings};

/// The URL that requests go to and the client that sends them.
///
/// A server name other than the address's host takes the host's place in the URL, so that SNI and verification use it;
/// the resolver leads it back to the host, and the `Host` header stays the address's own.
pub(super) fn client(settings: &ServerSettings, deadlines: &Deadlines) -> Result<(Url, Client), VaultError> {
    let mut base = address(&settings.address)?;
    let mut headers = HeaderMap::new();
    headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
    let mut resolver = Resolver::default();
    if let Some(name) = &settings.server_name
        && base.scheme() == "https"
        && base.host_str() != Some(name.as_str())
    {
        headers.insert(reqwest::header::HOST, host_header(&base)?);
        resolver = Resolver { alias: Some((name.to_ascii_lowercase(), bare_host(&base)?)) };
        rename(&mut base, name)?;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // An error means that one is installed already, by us or by the program: there is only this one in the build.
    let _ = provider.install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("vault-jwt-operator/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .dns_resolver(Arc::new(resolver))
        .connect_timeout(deadlines.connect)
        .pool_max_idle_per_host(usize::try_from(settings.concurrent_requests).unwrap_or(1).max(1))
        .tcp_nodelay(true);
    if base.scheme() == "http" {
        // Nothing to verify: the system's certificates need not exist, and their memory is saved.
        builder = builder.tls_certs_only([]);
    } else if let Some(pem) = &settings.ca_pem {
        builder = builder.tls_certs_only(bundle(pem)?);
    }
    if let Some(pem) = &settings.client_identity_pem {
        let identity = Identity::from_pem(pem.expose_secret().as_bytes())
            .map_err(|_| VaultError::invalid("the client certificate is not a PEM certificate with its private key"))?;
        builder = builder.identity(identity);
    }
    let client = builder.build().map_err(|_| {
        VaultError::invalid("no TLS client could be made: check the client certificate and the system's CAs")
    })?;
    Ok((base, client))
}

fn address(text: &str) -> Result<Url, VaultError> {
    let problem = |what: &str| VaultError::invalid(format!("the address of Vault {what}"));
    let url = Url::parse(text).map_err(|_| problem("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(problem("must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(problem("must have no user, query or fragment"));
    }
    Ok(url)
}

/// The certificates of a PEM bundle; an unusable one and an empty one are refused, since both would trust nobody.
fn bundle(pem: &[u8]) -> Result<Vec<Certificate>, VaultError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(VaultError::invalid("the CA bundle for Vault holds no PEM certificate")),
    }
}

fn rename(base: &mut Url, name: &str) -> Result<(), VaultError> {
    let usable = name.parse::<IpAddr>().is_err()
        && base.set_host(Some(name)).is_ok()
        && base.host_str().is_some_and(|host| host.eq_ignore_ascii_case(name));
    if usable { Ok(()) } else { Err(VaultError::invalid("the server name for Vault must be a DNS name")) }
}

fn host_header(base: &Url) -> Result<HeaderValue, VaultError> {
    let host = base.host_str().unwrap_or_default();
    let authority = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::from_str(&authority).map_err(|_| VaultError::invalid("the address of Vault has an unusable host"))
}

/// The host as a resolver wants it: an IPv6 address without brackets.
fn bare_host(base: &Url) -> Result<String, VaultError> {
    match base.host() {
        Some(url::Host::Ipv6(address)) => Ok(address.to_string()),
        Some(host) => Ok(host.to_string()),
        None => Err(VaultError::invalid("the address of Vault must name a host")),
    }
}

/// The system's resolver, with one name that stands for another host, and failures that can be told from others.
#[derive(Default)]
struct Resolver {
    alias: Option<(String, String)>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.alias {
            Some((alias, host)) if alias.eq_ignore_ascii_case(name.as_str()) => host.clone(),
            _ => name.as_str().to_owned(),
        };
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let found = tokio::net::lookup_host((host, 0)).await.map_err(|_| Unresolved)?;
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                return Err(Unresolved.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
