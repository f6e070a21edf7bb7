//! A URL that Vault or the operator is sent to. Two parsers will read it (ours and Go's), so the authority must be
//! spelt in a way that leaves them nothing to disagree on; hosts are compared as parsed, not as text.

use url::Url;

/// A checked URL of an issuer.
#[derive(Clone, Debug)]
pub(super) struct IssuerUrl(Url);

impl IssuerUrl {
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or("must be a URL that begins with 'https://' (or 'http://' where the grant allows it)")?;
        if text.len() > 2048 {
            return Err("must be at most 2048 characters long");
        }
        // `\` is a slash to one parser and not to the other; control characters and spaces vanish in ours.
        if !text.bytes().all(|c| c.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&c)) {
            return Err("must consist of visible ASCII characters, without '\\' and quotes; write a host name in its \
                        'xn--' form");
        }
        if text.contains('#') {
            return Err("must not have a fragment ('#…'): it is never sent");
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not contain a user or password ('…@'): it would be readable in Vault's config");
        }
        check_authority(authority)?;
        let url = Url::parse(text).map_err(|_| "must be a URL such as 'https://issuer.example/jwks.json'")?;
        Ok(Self(url))
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(super) fn has_query(&self) -> bool {
        self.0.query().is_some()
    }

    /// As it would have to stand in a grant: the port is left out where it is the scheme's own.
    pub(super) fn host_and_port(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether it leads to `entry`, which is `host:port`, or `host` for the scheme's own port.
    pub(super) fn is_at(&self, entry: &str) -> bool {
        let parsed =
            check_authority(entry).ok().and_then(|()| Url::parse(&format!("{}://{entry}", self.0.scheme())).ok());
        parsed.is_some_and(|granted| {
            granted.host() == self.0.host() && granted.port_or_known_default() == self.0.port_or_known_default()
        })
    }
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b".-_:[]".contains(&c);
    if authority.is_empty() || authority.starts_with(':') {
        Err("must name a host")
    } else if !authority.bytes().all(allowed) || authority.ends_with(':') {
        Err("must name its host as 'host' or 'host:port'")
    } else {
        Ok(())
    }
}
