//! PostgreSQL's wire format.

pub mod copy;
#[path = "../../../src/connectors/postgres/decode/mod.rs"]
mod decode;
#[path = "../../../src/connectors/postgres/typemap.rs"]
mod typemap;
