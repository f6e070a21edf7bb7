//! The login of a binding makes no Vault object. What it asks of grants and references' names is checked here all the
//! same: the operator must not be sent to a host that nobody granted.

use crate::api::binding::{HttpTokenSource, LoginSpec, SigningKey};
use crate::api::names::{KvPath, MountPath, RoleName};
use crate::api::references::SecretKeyRef;

use super::grants::Demand;
use super::issuer_url::IssuerUrl;
use super::reference::is_object_name;
use super::{Check, Context, Problem, Reference, binding};

pub(super) fn check(context: Context<'_>, problems: &mut Vec<Problem>) {
    let Some(login) = &context.spec.login else { return };
    let mut check = Check::new(None, problems);
    check.valid("spec.login.role", RoleName::new(&login.role));
    binding::interval("spec.login.interval", &login.interval, &mut check);
    token(context, login, &mut check);
    expectation(login, &mut check);
}

fn token(context: Context<'_>, login: &LoginSpec, check: &mut Check<'_>) {
    let token = &login.token;
    let sources = [
        token.secret_key_ref.is_some(),
        token.service_account.is_some(),
        token.signing_key.is_some(),
        token.http.is_some(),
    ];
    if sources.into_iter().filter(|set| *set).count() != 1 {
        check.invalid("spec.login.token", "must have exactly one of secretKeyRef, serviceAccount, signingKey and http");
    }
    if let Some(secret) = &token.secret_key_ref {
        secret_name("spec.login.token.secretKeyRef", secret, check);
    }
    if let Some(account) = &token.service_account {
        if !is_object_name(&account.name) {
            check.invalid("spec.login.token.serviceAccount.name", "must be the name of a ServiceAccount");
        }
        check.text("spec.login.token.serviceAccount.audience", &account.audience, 1024);
    }
    if let Some(key) = &token.signing_key {
        signing_key(key, check);
    }
    if let Some(http) = &token.http {
        http_source(context, http, check);
    }
}

fn signing_key(key: &SigningKey, check: &mut Check<'_>) {
    let field = "spec.login.token.signingKey";
    secret_name(&format!("{field}.secretKeyRef"), &key.secret_key_ref, check);
    if check.seconds(format!("{field}.ttl"), Some(&key.ttl)) < 1 {
        check.invalid(format!("{field}.ttl"), "must be at least '1s'");
    }
}

fn http_source(context: Context<'_>, http: &HttpTokenSource, check: &mut Check<'_>) {
    let field = "spec.login.token.http";
    let url_field = format!("{field}.url");
    if let Some(url) = check.valid(url_field.as_str(), IssuerUrl::new(&http.url)) {
        check.granted(context.granted, &Demand::url(&url_field, &url));
    }
    for (index, header) in http.headers.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        if header.value.is_some() == header.secret_key_ref.is_some() {
            check.invalid(field.as_str(), "must have exactly one of value and secretKeyRef");
        }
        if let Some(secret) = &header.secret_key_ref {
            secret_name(&format!("{field}.secretKeyRef"), secret, check);
        }
    }
    if let Some(secret) = &http.body_ref {
        secret_name(&format!("{field}.bodyRef"), secret, check);
    }
    if http.token_pointer.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
        check.invalid(format!("{field}.tokenPointer"), "must be a JSON pointer, which begins with '/'");
    }
}

fn expectation(login: &LoginSpec, check: &mut Check<'_>) {
    for (index, readable) in login.expect.iter().flat_map(|expect| &expect.readable).enumerate() {
        let field = format!("spec.login.expect.readable[{index}]");
        check.valid(format!("{field}.mount"), MountPath::new(&readable.mount));
        check.valid(format!("{field}.path"), KvPath::new(&readable.path));
    }
}

fn secret_name(field: &str, secret: &SecretKeyRef, check: &mut Check<'_>) {
    if let Err((part, message)) = Reference::from(secret).check() {
        check.invalid(format!("{field}.{part}"), message);
    }
}
