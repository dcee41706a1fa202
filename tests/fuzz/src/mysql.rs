//! MySQL's wire format.

#[path = "../../../src/connectors/mysql/decode.rs"]
mod decode;
pub mod rows;
#[path = "../../../src/connectors/mysql/typemap.rs"]
mod typemap;
