//! URLs, and paths in Vault's own notation. `desired::issuer_url` and `desired::rule_path` read them again with a parser.

use serde_json::Value;

use super::name::{logical, no_dots};
use super::rule::{rule, schema, text};

const AUTHORITY: &str = r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?";
/// Visible ASCII without `"`, `#`, `<`, `>`, `\`, `^`, the back-quote, `{`, `|` and `}`.
const URL_CHARACTERS: &str = r"[!$-;=?-\[\]_a-z~]";

/// Double quotes around the expression: a URL may hold a single one.
fn url_rule(pattern: &str, message: &str) -> Value {
    rule(format!("self.matches(r\"{pattern}\") && isURL(self)"), message)
}

fn issuer_url() -> Value {
    url_rule(
        &format!("^https?://{AUTHORITY}([/?]{URL_CHARACTERS}*)?$"),
        "must be a URL such as 'https://issuer.example/jwks.json': 'https://' (or 'http://' where the grant allows it) and a \
         host, without user, password, fragment, spaces or quotes",
    )
}

schema! {
    /// Where Vault or the operator fetches something from.
    IssuerUrl => text(2048, [issuer_url()]);
    /// The base URL of an OIDC issuer.
    DiscoveryUrl => text(2048, [
        issuer_url(),
        rule(
            "!self.contains('.well-known')",
            "must be the issuer's base URL, without '/.well-known/openid-configuration': Vault adds that itself",
        ),
        rule("!self.contains('?')", "must not contain '?': Vault appends to this URL"),
    ]);
    /// The address of a Vault.
    VaultAddress => text(2048, [url_rule(
        // As an issuer's URL, without `?`.
        &format!(r"^https?://{AUTHORITY}(/[!$-;=@-\[\]_a-z~]*)?$"),
        "must be a URL such as 'https://vault.vault.svc:8200': 'https://' or 'http://' and a host, without user, password, \
         query or fragment",
    )]);
    /// A host in a grant.
    Host => text(260, [rule(
        format!("self.matches(r'^{AUTHORITY}$')"),
        "must be 'host' or 'host:port', without a scheme, a path or '*'",
    )]);
    /// Paths of KV secrets in a grant.
    KvPattern => text(256, [
        rule(
            r"self.matches(r'^(\w[\w./-]*)?\*?$')",
            "must be the logical path of a secret, or the beginning of one with '*' as the last character",
        ),
        rule("!self.contains('//')", "must not contain '//'"),
        no_dots(),
        logical(),
    ]);
    /// The path of an ACL rule.
    RulePath => text(512, [
        rule(
            r"self.matches(r'^[\w./+*{}@:=~,-]+$')",
            "must consist of letters, digits, the characters '_', '-', '.', '/', '+', '*', '@', ':', '=', '~' and ',', and \
             templates",
        ),
        rule("!self.startsWith('/') && !self.contains('//')", "must not begin with '/' or contain '//'"),
        rule(
            r"!self.contains('..') && !self.matches(r'(^|/)\.(/|$)')",
            "must not contain '..' or a segment '.'",
        ),
        rule(
            r"!self.matches(r'\*.')",
            "must have '*' only as the last character: elsewhere Vault takes it literally",
        ),
        rule(
            r"!self.matches(r'[^/]\+|\+[^/]')",
            "must have '+' only as a whole segment: elsewhere Vault takes it literally or refuses it",
        ),
        rule(
            r"self.matches(r'^([^{}]|\{\{identity\.[\w.-]+\}\})*$')",
            "must have '{' and '}' only in a template '{{identity.…}}', without spaces",
        ),
    ]);
}
