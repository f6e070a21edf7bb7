//! CEL rules of single values. The messages follow Kubernetes' grammar: "must …", values in single quotes, fields in
//! back-quotes, inequalities in words, and they say what is allowed.

use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// A rule that a value must keep. The apiserver shows the value with the message.
pub(super) fn rule(rule: impl Into<String>, message: impl Into<String>) -> Value {
    json!({"rule": rule.into(), "message": message.into(), "reason": "FieldValueInvalid"})
}

/// A rule about what must not be there. The apiserver does not show the value, which may be a secret.
pub(super) fn forbidden(rule: impl Into<String>, message: impl Into<String>) -> Value {
    json!({"rule": rule.into(), "message": message.into(), "reason": "FieldValueForbidden"})
}

/// A text of 1 to `longest` characters that keeps these rules.
pub(super) fn text(longest: u32, rules: impl IntoIterator<Item = Value>) -> Schema {
    let rules: Vec<_> = rules.into_iter().collect();
    let mut schema = json_schema!({"type": "string", "minLength": 1, "maxLength": longest});
    if !rules.is_empty() {
        schema.insert("x-kubernetes-validations".to_owned(), rules.into());
    }
    schema
}

/// A CEL expression: the text matches the regular expression, which holds no single quote.
pub(super) fn matches(pattern: &str) -> String {
    format!("self.matches(r'{pattern}')")
}

/// A CEL expression: exactly one of these fields is set.
pub fn exactly_one(fields: &[&str]) -> String {
    let set: Vec<_> = fields.iter().map(|field| format!("has(self.{field})")).collect();
    format!("[{}].filter(set, set).size() == 1", set.join(", "))
}

/// Gives types the schema that an expression makes.
macro_rules! schema {
    ($($(#[$doc:meta])* $name:ident => $schema:expr;)+) => { $(
        $(#[$doc])*
        pub enum $name {}

        $crate::api::schema::rule::schema_of!($name => $schema);
    )+ };
}

/// Gives a type that exists already the schema that an expression makes.
macro_rules! schema_of {
    ($name:ty => $schema:expr) => {
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}

pub(super) use schema;
pub(super) use schema_of;
