//! The texts of Vault's that are known and harmless, and how much of each is passed on. Whatever is not listed stays
//! out of every error: it may quote what an issuer or a proxy answered, or a value that was sent.

/// The longest text of Vault's that is passed on.
const LONGEST_MESSAGE: usize = 300;

/// Beginnings of texts that Vault answers with status 400, and what is passed on of them.
pub(super) const KNOWN: &[(&str, Show)] = &[
    ("failed to parse policy: ", Show::Whole),
    ("'policy' parameter not supplied or empty", Show::Whole),
    ("cannot update ", Show::Whole),
    ("cannot delete ", Show::Whole),
    ("invalid 'token_type'", Show::Whole),
    ("invalid 'role_type'", Show::Whole),
    ("invalid 'bound_claims_type'", Show::Whole),
    ("'token_", Show::Whole),
    ("'period' of ", Show::Whole),
    ("ttl should not be greater than max ttl", Show::Whole),
    ("a user claim must be defined on the role", Show::Whole),
    ("must have at least one bound constraint", Show::Whole),
    ("'allowed_redirect_uris' must be set", Show::Whole),
    ("metadata key ", Show::Whole),
    ("multiple keys are mapped to metadata key ", Show::Whole),
    ("claim is not a string", Show::Known("a glob bound claim has a value that is not a string")),
    ("exactly one of 'jwt_validation_pubkeys'", Show::Whole),
    ("both 'oidc_client_id' and ", Show::Whole),
    ("'oidc_discovery_url' must be set for OIDC", Show::Whole),
    ("CA PEMs must be provided as part of the 'jwks_pairs'", Show::Whole),
    ("Bound issuer is not supported for use with 'jwks_pairs'", Show::Whole),
    ("error checking jwks_ca_pem", Show::Known("the CA bundle for the JWKS URL holds no usable PEM certificate")),
    ("invalid jwks_pairs: jwks_pairs must be provided", Show::Whole),
    ("error parsing public key: ", Show::Whole),
    ("invalid jwt_supported_algs: ", Show::Whole),
    ("invalid response_types ", Show::Whole),
    ("invalid response_mode: ", Show::Whole),
    ("invalid provider_config: ", Show::Whole),
    ("Field validation failed: error converting input for field ", Show::Field),
    ("error converting input for field ", Show::Field),
    ("path is already in use at ", Show::Whole),
    ("existing mount at ", Show::Whole),
    ("plugin not found in the catalog: ", Show::Whole),
    ("check-and-set parameter required for this call", Show::Whole),
    ("no data provided", Show::Whole),
    ("missing data fields", Show::Whole),
    ("cannot write to a path ending in '/'", Show::Whole),
];

/// Beginnings of texts that a login is refused with, and what is passed on of them.
pub(super) const KNOWN_LOGIN: &[(&str, Show)] = &[
    ("could not load configuration", Show::Known("the auth mount has no config")),
    ("missing role", Show::Whole),
    ("role \"", Show::Whole),
    ("role with oidc role_type is not allowed", Show::Whole),
    ("invalid role name", Show::Whole),
    ("missing token", Show::Whole),
    ("invalid role ID", Show::Whole),
    ("invalid role or secret ID", Show::Whole),
    ("invalid secret id", Show::Whole),
    ("missing secret_id", Show::Whole),
    ("service account name not authorized", Show::Whole),
    ("namespace not authorized", Show::Whole),
    ("invalid audience (aud) claim", Show::Whole),
    ("lookup failed: service account unauthorized", Show::Whole),
    ("error configuring token validator: unsupported config type", Show::Whole),
    (
        "error validating token: error verifying token signature: failed to verify id token signature",
        Show::Known("no key of the issuer verifies the token's signature"),
    ),
    ("error validating token: error verifying token signature: no known key", Show::Whole),
    ("error validating token: invalid ", Show::Whole),
    ("error validating token: no issued at (iat)", Show::Whole),
    ("audience claim found in JWT but no audiences bound to the role", Show::Whole),
    ("claim \"", Show::Whole),
    ("failed to fetch groups: ", Show::Whole),
    ("error validating claims: claim \"", Show::Whole),
    ("auth methods cannot create root tokens", Show::Whole),
    (
        "permission denied",
        Show::Known(
            "permission denied: no auth method is mounted there, or it does not admit this address or identity",
        ),
    ),
];

/// Texts that mean that the issuer, and not what was sent, is the cause.
pub(super) const ISSUER: &[&str] = &[
    "error checking jwks URL",
    "error checking oidc discovery URL",
    "error validating token: error verifying token signature: fetching keys",
    "error configuring token validator: keyset configuration error",
];

/// How much of a known text is passed on.
pub(super) enum Show {
    /// All of it.
    Whole,
    /// The name of the field; the rest quotes its value.
    Field,
    /// A sentence of our own.
    Known(&'static str),
}

/// What is passed on of a text, if it is one of the table's.
pub(super) fn known(table: &[(&str, Show)], text: &str) -> Option<String> {
    let (_, show) = table.iter().find(|(beginning, _)| text.starts_with(beginning))?;
    Some(match show {
        Show::Whole => clean(text),
        Show::Field => {
            let field: String = text.split('"').nth(1).unwrap_or_default().chars().take(64).collect();
            format!("the value of {} has the wrong type or is out of range", clean(&field))
        }
        Show::Known(sentence) => (*sentence).to_owned(),
    })
}

/// One line, bounded.
fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
        text.truncate(end);
        text.push('…');
    }
    text
}
