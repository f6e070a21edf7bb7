//! The one config of a jwt mount. A write replaces it as a whole, so all fields that Vault reads back are here, empty
//! ones too. Whoever sets the config decides where Vault fetches keys from: each host must be granted.

use serde_json::{Value, json};

use crate::api::binding::ConfigSpec;
use crate::api::names::RoleName;
use crate::api::references::CaRef;
use crate::api::status::ObjectKind;

use super::grants::Demand;
use super::issuer_url::IssuerUrl;
use super::{Check, Context, Fields, JwtConfig, Object, ObjectId, Problem, ProblemKind, Reference, auth_mount, pem};

pub(super) fn desired(context: Context<'_>, problems: &mut Vec<Problem>) -> Option<Object> {
    let config = context.spec.auth.config.as_ref()?;
    let id = ObjectId::new(ObjectKind::JwtConfig, context.spec.auth.mount.as_str());
    let mut check = Check::new(Some(id), problems);
    let mount = auth_mount::of(context, "spec.auth.config", &mut check);
    check_sources(config, &mut check);
    check_rest(config, &mut check);
    let urls = urls(config, &mut check);
    if let Some(mount) = &mount {
        let mut demands = vec![Demand::manage_config("spec.auth.config", mount)];
        demands.extend(urls.iter().flat_map(|(field, url)| Demand::url(field, url)));
        check.granted(context.granted, &demands);
    }
    let fields = fields(context, config, &mut check);
    check.passed().then_some(Object::JwtConfig(JwtConfig { mount: mount?, fields }))
}

/// Vault wants exactly one source of keys, and each CA beside its own URL.
fn check_sources(config: &ConfigSpec, check: &mut Check<'_>) {
    let sources = [
        config.jwks_url.is_some(),
        !config.jwks_pairs.is_empty(),
        config.oidc_discovery_url.is_some(),
        !config.validation_public_keys.is_empty(),
    ];
    if sources.into_iter().filter(|set| *set).count() != 1 {
        let message = "must have exactly one of jwksUrl, jwksPairs, oidcDiscoveryUrl and validationPublicKeys";
        check.invalid("spec.auth.config", message);
    }
    if config.jwks_ca_ref.is_some() && config.jwks_url.is_none() {
        let message = "must only be set together with jwksUrl; an entry of jwksPairs has its own caRef";
        check.invalid("spec.auth.config.jwksCaRef", message);
    }
    if config.oidc_discovery_ca_ref.is_some() && config.oidc_discovery_url.is_none() {
        let message = "must only be set together with oidcDiscoveryUrl";
        check.invalid("spec.auth.config.oidcDiscoveryCaRef", message);
    }
    if config.bound_issuer.is_some() && !config.jwks_pairs.is_empty() {
        let message = "must not be set together with jwksPairs: Vault does not support it; leave it out or use jwksUrl";
        check.invalid("spec.auth.config.boundIssuer", message);
    }
}

fn check_rest(config: &ConfigSpec, check: &mut Check<'_>) {
    if let Some(issuer) = &config.bound_issuer {
        check.text("spec.auth.config.boundIssuer", issuer, 2048);
    }
    if let Some(role) = &config.default_role {
        check.valid("spec.auth.config.defaultRole", RoleName::new(role));
    }
    for (index, key) in config.validation_public_keys.iter().enumerate() {
        check.valid(format!("spec.auth.config.validationPublicKeys[{index}]"), pem::check_public_key(key));
    }
}

/// Each URL that Vault would fetch, with its field.
fn urls(config: &ConfigSpec, check: &mut Check<'_>) -> Vec<(String, IssuerUrl)> {
    let pairs = config.jwks_pairs.iter().enumerate();
    let jwks = config.jwks_url.iter().map(|url| ("spec.auth.config.jwksUrl".to_owned(), url));
    let texts = jwks.chain(pairs.map(|(i, pair)| (format!("spec.auth.config.jwksPairs[{i}].url"), &pair.url)));
    let mut urls: Vec<_> = texts
        .filter_map(|(field, url)| check.valid(field.as_str(), IssuerUrl::new(url)).map(|url| (field, url)))
        .collect();
    if let Some(text) = &config.oidc_discovery_url {
        let field = "spec.auth.config.oidcDiscoveryUrl";
        let url = check.valid(field, IssuerUrl::new(text));
        if text.contains(".well-known") {
            check.invalid(field, "must be the issuer's base URL, without '/.well-known/…': Vault adds that itself");
        }
        if url.as_ref().is_some_and(IssuerUrl::has_query) {
            check.invalid(field, "must not have a query ('?…'): Vault appends to it");
        }
        urls.extend(url.map(|url| (field.to_owned(), url)));
    }
    urls
}

fn fields(context: Context<'_>, config: &ConfigSpec, check: &mut Check<'_>) -> Fields {
    let mut bundle = |field: String, reference: Option<&CaRef>| {
        let bundle = reference.and_then(|reference| ca_bundle(context, &field, reference, check));
        bundle.unwrap_or_default()
    };
    let jwks_ca = bundle("spec.auth.config.jwksCaRef".to_owned(), config.jwks_ca_ref.as_ref());
    let discovery_ca = bundle("spec.auth.config.oidcDiscoveryCaRef".to_owned(), config.oidc_discovery_ca_ref.as_ref());
    let mut pairs = Vec::new();
    for (index, pair) in config.jwks_pairs.iter().enumerate() {
        let ca = bundle(format!("spec.auth.config.jwksPairs[{index}].caRef"), pair.ca_ref.as_ref());
        pairs.push(json!({"jwks_url": pair.url, "jwks_ca_pem": ca}));
    }
    let mut algorithms: Vec<_> = config.supported_algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    // Vault trims the elements of a list: a key that keeps its final newline would differ for ever.
    let keys: Vec<_> = config.validation_public_keys.iter().map(|key| key.trim()).collect();
    let text = |text: &Option<String>| Value::from(text.as_deref().unwrap_or_default());
    Fields::from([
        ("bound_issuer", text(&config.bound_issuer)),
        ("default_role", text(&config.default_role)),
        ("jwks_ca_pem", jwks_ca.into()),
        ("jwks_pairs", pairs.into()),
        ("jwks_url", text(&config.jwks_url)),
        ("jwt_supported_algs", algorithms.into()),
        ("jwt_validation_pubkeys", keys.into()),
        // Vault's own default for a new config; it matters only to the OIDC flow.
        ("namespace_in_state", true.into()),
        ("oidc_client_id", "".into()),
        ("oidc_discovery_ca_pem", discovery_ca.into()),
        ("oidc_discovery_url", text(&config.oidc_discovery_url)),
        ("oidc_response_mode", "".into()),
        ("oidc_response_types", json!([])),
        ("provider_config", json!({})),
        ("unsupported_critical_cert_extensions", json!([])),
    ])
}

fn ca_bundle(context: Context<'_>, field: &str, reference: &CaRef, check: &mut Check<'_>) -> Option<String> {
    let text = Reference::from(reference).resolve(context.references, field, check)?;
    match pem::check_bundle(text) {
        Ok(()) => Some(text.to_owned()),
        Err(message) => {
            let message = format!("key '{}' of {:?} '{}' {message}", reference.key, reference.kind, reference.name);
            check.problem(ProblemKind::ReferenceInvalid, field, message);
            None
        }
    }
}
