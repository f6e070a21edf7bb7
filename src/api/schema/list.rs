//! Bounded lists of single values.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A list of `MIN` to `MAX` different values, merged value by value when several managers apply it.
pub struct Set<T, const MIN: u32, const MAX: u32>(PhantomData<T>);

/// A list of `MIN` to `MAX` values, replaced as a whole.
pub struct List<T, const MIN: u32, const MAX: u32>(PhantomData<T>);

fn list<T: JsonSchema>(generator: &mut SchemaGenerator, min: u32, max: u32, strategy: &str) -> Schema {
    let items = generator.subschema_for::<T>();
    let mut schema =
        json_schema!({"type": "array", "items": items, "maxItems": max, "x-kubernetes-list-type": strategy});
    if min > 0 {
        schema.insert("minItems".to_owned(), min.into());
    }
    schema
}

impl<T: JsonSchema, const MIN: u32, const MAX: u32> JsonSchema for Set<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("SetOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        list::<T>(generator, MIN, MAX, "set")
    }
}

impl<T: JsonSchema, const MIN: u32, const MAX: u32> JsonSchema for List<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        list::<T>(generator, MIN, MAX, "atomic")
    }
}
