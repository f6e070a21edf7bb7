//! The one form in which fields are compared. Vault answers the same meaning in several ways (`null`, `[]`, absent;
//! `10.0.0.1/32` and `10.0.0.1`); each kind of field has a rule that leads them to one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

/// Fields of a Vault object by Vault's names.
pub type Fields = BTreeMap<&'static str, Value>;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text as it is.
    Text,
    /// Text that Vault lower-cases.
    LowerText,
    /// Text with the value that stands for the empty one.
    TextOr(&'static str),
    /// A duration in whole seconds.
    Seconds,
    /// A whole number.
    Integer,
    /// True or false.
    Bool,
    /// A list whose order and repetitions mean nothing; Vault trims its elements.
    Set,
    /// A list in order; Vault trims its elements.
    List,
    /// A set of addresses, where a prefix of full length means the address alone.
    Cidrs,
    /// Names with a list of values each; a single value is a list of one.
    Claims,
    /// Names with values.
    Map,
    /// A list of `{jwks_url, jwks_ca_pem}`, in order.
    JwksPairs,
}

impl Kind {
    /// The value in the form that is compared. A value of another type than expected stays as it is and so differs.
    #[must_use]
    pub fn normalise(self, value: Option<&Value>) -> Value {
        let Some(value) = value.filter(|value| !value.is_null()) else { return self.empty() };
        match (self, value) {
            (Self::LowerText, Value::String(text)) => json!(text.to_lowercase()),
            (Self::TextOr(_), Value::String(text)) if text.is_empty() => self.empty(),
            (Self::Seconds | Self::Integer, Value::String(text)) => {
                text.strip_suffix('s').unwrap_or(text).parse::<i64>().map_or_else(|_| value.clone(), Value::from)
            }
            (Self::Set, Value::Array(list)) => set(list, str::to_owned),
            (Self::List, Value::Array(list)) => list.iter().map(|value| element(value, str::to_owned)).collect(),
            (Self::Cidrs, Value::Array(list)) => set(list, cidr),
            (Self::Claims, Value::Object(map)) => {
                map.iter().map(|(claim, values)| (claim.clone(), many(values))).collect()
            }
            (Self::JwksPairs, Value::Array(list)) => list.iter().map(pair).collect(),
            // Maps and lists share the empty form, since Vault answers one where the other is meant.
            (Self::Claims | Self::Map, Value::Array(list)) if list.is_empty() => self.empty(),
            (Self::Set | Self::List | Self::Cidrs | Self::JwksPairs, Value::Object(map)) if map.is_empty() => {
                self.empty()
            }
            _ => value.clone(),
        }
    }

    /// What an absent value means.
    #[must_use]
    pub fn empty(self) -> Value {
        match self {
            Self::Text | Self::LowerText => json!(""),
            Self::TextOr(text) => json!(text),
            Self::Seconds | Self::Integer => json!(0),
            Self::Bool => json!(false),
            Self::Set | Self::List | Self::Cidrs | Self::JwksPairs => json!([]),
            Self::Claims | Self::Map => json!({}),
        }
    }
}

/// The fields of a table, each in the form that is compared; whatever else Vault returned is left out.
pub(super) fn normalise(table: &[(&'static str, Kind)], found: &Map<String, Value>) -> Fields {
    table.iter().map(|&(name, kind)| (name, kind.normalise(found.get(name)))).collect()
}

/// The body that writes these fields.
pub(super) fn body(fields: &Fields) -> Value {
    fields.iter().map(|(&name, value)| (name.to_owned(), value.clone())).collect::<Map<_, _>>().into()
}

fn element(value: &Value, form: impl Fn(&str) -> String) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| json!(form(text.trim())))
}

fn set(list: &[Value], form: impl Fn(&str) -> String) -> Value {
    let mut values: Vec<Value> = list.iter().map(|value| element(value, &form)).collect();
    values.sort_by_key(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    values.dedup();
    values.into()
}

fn many(values: &Value) -> Value {
    if values.is_array() { values.clone() } else { json!([values]) }
}

fn pair(pair: &Value) -> Value {
    let Value::Object(fields) = pair else { return pair.clone() };
    let mut fields = fields.clone();
    for name in ["jwks_url", "jwks_ca_pem"] {
        let field = fields.entry(name).or_insert(Value::Null);
        *field = Kind::Text.normalise(Some(field));
    }
    fields.into()
}

fn cidr(text: &str) -> String {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let v4: Option<Ipv4Addr> = address.parse().ok();
    let v6: Option<Ipv6Addr> = address.parse().ok();
    match (v4, v6, prefix) {
        (Some(address), _, "" | "32") => address.to_string(),
        (Some(address), _, prefix) => format!("{address}/{prefix}"),
        (_, Some(address), "" | "128") => address.to_string(),
        (_, Some(address), prefix) => format!("{address}/{prefix}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(kind: Kind, value: impl Into<Value>) -> Value {
        kind.normalise(Some(&value.into()))
    }

    #[test]
    fn null_absent_and_empty_are_one() {
        for kind in [Kind::Set, Kind::List, Kind::Cidrs, Kind::JwksPairs] {
            for value in [json!(null), json!([]), json!({})] {
                assert_eq!(form(kind, value), json!([]), "{kind:?}");
            }
            assert_eq!(kind.normalise(None), json!([]), "{kind:?}");
        }
        for kind in [Kind::Map, Kind::Claims] {
            for value in [json!(null), json!([]), json!({})] {
                assert_eq!(form(kind, value), json!({}), "{kind:?}");
            }
        }
        assert_eq!(form(Kind::TextOr("default"), json!("")), json!("default"));
        assert_eq!(form(Kind::Bool, json!(null)), json!(false));
        assert_eq!(form(Kind::Seconds, json!(null)), json!(0));
        assert_eq!(form(Kind::Text, json!(null)), json!(""));
    }

    #[test]
    fn sets_are_trimmed_sorted_and_have_no_repetitions() {
        assert_eq!(form(Kind::Set, json!(["b ", "a", "b", "\na"])), json!(["a", "b"]));
        assert_eq!(form(Kind::List, json!(["b\n", "a"])), json!(["b", "a"]));
    }

    #[test]
    fn a_whole_address_has_no_prefix() {
        let cidrs = json!(["10.0.0.1/32", "10.1.2.3/8", "::1/128", "FD00:0::/8", "10.0.0.1"]);
        assert_eq!(form(Kind::Cidrs, cidrs), json!(["10.0.0.1", "10.1.2.3/8", "::1", "fd00::/8"]));
    }

    #[test]
    fn a_single_claim_value_is_a_list_of_one_and_keeps_its_type() {
        assert_eq!(form(Kind::Claims, json!({"a": "x", "b": [1, true]})), json!({"a": ["x"], "b": [1, true]}));
        assert_ne!(form(Kind::Claims, json!({"a": "1"})), form(Kind::Claims, json!({"a": 1})));
        assert_ne!(form(Kind::Claims, json!({"a": []})), form(Kind::Claims, json!({})));
    }

    #[test]
    fn durations_are_seconds() {
        for value in [json!(60), json!("60"), json!("60s")] {
            assert_eq!(form(Kind::Seconds, value), json!(60));
        }
        assert_eq!(form(Kind::Seconds, json!(-1)), json!(-1));
        assert_eq!(form(Kind::Seconds, json!("1h")), json!("1h"), "another spelling differs and is written again");
    }

    #[test]
    fn a_pair_without_a_ca_has_an_empty_one() {
        let found = json!([{"jwks_url": "u"}, {"jwks_url": "v", "jwks_ca_pem": null}]);
        assert_eq!(
            form(Kind::JwksPairs, found),
            json!([{"jwks_url": "u", "jwks_ca_pem": ""}, {"jwks_url": "v", "jwks_ca_pem": ""}])
        );
    }

    #[test]
    fn a_value_of_an_unexpected_type_stays_visible() {
        assert_eq!(form(Kind::Set, json!("a,b")), json!("a,b"));
        assert_eq!(form(Kind::Bool, json!("yes")), json!("yes"));
    }
}
