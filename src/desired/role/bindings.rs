//! What a token must carry to be let in by a role: audiences, subject, claims, the user and group claims, addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Map, Value};

use crate::api::binding::{BoundClaim, BoundClaimsType, RoleSpec};

use super::super::{Check, Fields};

const CLAIM_LIMIT: usize = 256;
const VALUE_LIMIT: usize = 1024;

/// The fields of a role that bind it, checked.
pub(super) fn fields(role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Fields {
    if role.bound_audiences.is_empty() {
        let message = "must name at least one audience: without one Vault refuses each token that has an audience";
        check.invalid(format!("{field}.boundAudiences"), message);
    }
    for (index, audience) in role.bound_audiences.iter().enumerate() {
        check.text(format!("{field}.boundAudiences[{index}]"), audience, VALUE_LIMIT);
    }
    if let Some(subject) = &role.bound_subject {
        check.text(format!("{field}.boundSubject"), subject, VALUE_LIMIT);
    }
    check.text(format!("{field}.userClaim"), &role.user_claim, CLAIM_LIMIT);
    if role.user_claim_json_pointer && !role.user_claim.starts_with('/') {
        check.invalid(format!("{field}.userClaim"), "must begin with '/' when userClaimJsonPointer is set");
    }
    if let Some(claim) = &role.groups_claim {
        check.text(format!("{field}.groupsClaim"), claim, CLAIM_LIMIT);
    }
    let audiences: BTreeSet<_> = role.bound_audiences.iter().map(String::as_str).collect();
    Fields::from([
        ("bound_audiences", audiences.into_iter().collect()),
        ("bound_claims", bound_claims(role, field, check)),
        ("bound_subject", role.bound_subject.as_deref().unwrap_or_default().into()),
        ("claim_mappings", claim_mappings(role, field, check)),
        ("groups_claim", role.groups_claim.as_deref().unwrap_or_default().into()),
        ("token_bound_cidrs", cidrs(role, field, check)),
    ])
}

fn bound_claims(role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Value {
    let mut claims = Map::new();
    for (index, bound) in role.bound_claims.iter().enumerate() {
        let field = format!("{field}.boundClaims[{index}]");
        check.text(format!("{field}.claim"), &bound.claim, CLAIM_LIMIT);
        if bound.values.is_empty() {
            check.invalid(format!("{field}.values"), "must name at least one value: no token could match");
        }
        check_values(role, bound, &field, check);
        if claims.insert(bound.claim.clone(), bound.values.clone().into()).is_some() {
            let message = format!("must not name the claim '{}' twice: put its values into one entry", bound.claim);
            check.invalid(format!("{field}.claim"), message);
        }
    }
    claims.into()
}

fn check_values(role: &RoleSpec, bound: &BoundClaim, field: &str, check: &mut Check<'_>) {
    for (index, value) in bound.values.iter().enumerate() {
        let problem = match value {
            Value::String(text) if text.len() > VALUE_LIMIT => "must be at most 1024 characters long",
            Value::Number(_) | Value::Bool(_) if role.bound_claims_type == BoundClaimsType::Glob => {
                "must be a string when boundClaimsType is Glob: Vault globs nothing else; quote it, or use String"
            }
            Value::Number(number) if number.is_f64() => {
                "must be a whole number: Vault cuts the fraction off a token's claim, so this could never match"
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => continue,
            Value::Null | Value::Array(_) | Value::Object(_) => "must be a string, a whole number or a boolean",
        };
        check.invalid(format!("{field}.values[{index}]"), problem);
    }
}

fn claim_mappings(role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Value {
    let mut mappings = Map::new();
    let mut keys = BTreeSet::new();
    for (index, mapping) in role.claim_mappings.iter().enumerate() {
        let field = format!("{field}.claimMappings[{index}]");
        check.text(format!("{field}.claim"), &mapping.claim, CLAIM_LIMIT);
        check.text(format!("{field}.metadataKey"), &mapping.metadata_key, CLAIM_LIMIT);
        if mapping.metadata_key == "role" {
            check.invalid(format!("{field}.metadataKey"), "must not be 'role': Vault puts the role's name there");
        }
        if !keys.insert(&mapping.metadata_key) {
            let message = format!("must not map two claims to '{}'", mapping.metadata_key);
            check.invalid(format!("{field}.metadataKey"), message);
        }
        if mappings.insert(mapping.claim.clone(), mapping.metadata_key.as_str().into()).is_some() {
            check.invalid(format!("{field}.claim"), format!("must not map the claim '{}' twice", mapping.claim));
        }
    }
    mappings.into()
}

fn cidrs(role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Value {
    let mut cidrs = BTreeSet::new();
    for (index, text) in role.token_bound_cidrs.iter().enumerate() {
        if let Some(cidr) = canonical_cidr(text) {
            cidrs.insert(cidr);
        } else {
            let message = "must be an IP address or a network such as '10.0.0.0/8' or 'fd00::/8'";
            check.invalid(format!("{field}.tokenBoundCidrs[{index}]"), message);
        }
    }
    cidrs.into_iter().collect()
}

/// As Vault reads it back: a whole address without its `/32` or `/128`, host bits kept, IPv6 in its short form, an IPv4
/// address inside IPv6 as IPv4.
fn canonical_cidr(text: &str) -> Option<String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) if !bits.is_empty() && bits.bytes().all(|c| c.is_ascii_digit()) => {
            (address, Some(bits.parse::<u8>().ok()?))
        }
        Some(_) => return None,
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (address, bits) = match address {
        IpAddr::V6(v6) => unmapped(v6, bits)?,
        IpAddr::V4(_) => (address, bits),
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    match bits {
        Some(bits) if bits > width => None,
        Some(bits) if bits < width => Some(format!("{address}/{bits}")),
        _ => Some(address.to_string()),
    }
}

fn unmapped(address: Ipv6Addr, bits: Option<u8>) -> Option<(IpAddr, Option<u8>)> {
    match address.to_ipv4_mapped() {
        Some(v4) => bits.map_or(Some(None), |bits| bits.checked_sub(96).map(Some)).map(|bits| (v4.into(), bits)),
        None => Some((address.into(), bits)),
    }
}
