//! JSON values of more than one type. CEL does not see a value without a type, so these are bounded by OpenAPI alone;
//! `desired` says the same in better words.

use schemars::json_schema;

use super::rule::schema;

schema! {
    /// A string, a whole number or a boolean. Vault cuts the fraction off a token's claim, so a bound of 1.5 could never
    /// match. An object or list would have to be empty and not empty at once. The apiserver lets `null` pass, `desired` does
    /// not.
    ClaimScalar => json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "multipleOf": 1, "maxLength": 1024,
        "maxProperties": 0, "minProperties": 1, "maxItems": 0, "minItems": 1,
    });
    /// Any JSON value of bounded size.
    JsonValue => json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "maxLength": 4096, "maxProperties": 64, "maxItems": 64,
    });
}
