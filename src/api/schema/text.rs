//! Texts that Vault, an issuer or an HTTP server compares or reads.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::rule::{forbidden, matches, rule, schema, text};

fn plain() -> [Value; 2] {
    [
        rule("self == self.trim()", "must not begin or end with a space: Vault compares it to the letter"),
        rule("!self.matches(r'[[:cntrl:]]')", "must not contain line breaks or other control characters"),
    ]
}

/// A text of up to `MAX` characters on one line, without blanks at its ends.
pub struct Text<const MAX: u32>;

impl<const MAX: u32> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("TextUpTo{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        text(MAX, plain())
    }
}

const PEM: &str =
    r"^\s*-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\s*\n[A-Za-z0-9+/=\s]+-----END (PUBLIC KEY|CERTIFICATE)-----\s*$";

schema! {
    /// A JSON pointer.
    JsonPointer => text(256, [rule("self.startsWith('/')", "must be a JSON pointer, which begins with '/'")]);
    /// An address or network that logins may come from.
    Address => text(64, [rule(
        "isIP(self) || isCIDR(self)",
        "must be an IP address or a network such as '10.0.0.0/8' or 'fd00::/8'",
    )]);
    /// A public key or certificate. What looks like a private key is not shown in the refusal.
    PublicKey => text(16384, [
        forbidden(
            "!self.contains('PRIVATE KEY')",
            "must not contain a private key: everybody who may read Vault's config could sign with it; take it out, consider \
             it known, and use its public half or certificate",
        ),
        rule(
            format!("self.contains('PRIVATE KEY') || {}", matches(PEM)),
            "must be one public key or certificate in PEM ('-----BEGIN PUBLIC KEY-----'), with line breaks and nothing \
             before or after it",
        ),
    ]);
    /// A policy as raw text.
    Hcl => text(65536, [rule(
        matches(r"\S"),
        "must not be blank: Vault would take it for a policy that opens nothing",
    )]);
    /// The value of an HTTP header.
    HeaderValue => text(1024, [rule(
        matches("^[ -~]*$"),
        "must consist of visible ASCII characters and spaces",
    )]);
    /// Labels by name; none would select everything.
    Labels => json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    });
}
