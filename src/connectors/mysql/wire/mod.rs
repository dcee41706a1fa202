//! MySQL's protocol, as far as it is used: login, statements as text, statements that are prepared and whose rows come in
//! binary form, and `LOAD DATA LOCAL` from memory.
//!
//! Packets of the login are those of `mysql_common`. Rows are handed on as they come, many at a time, to be decoded
//! elsewhere: no driver gives them away without an allocation for each.

mod client;
mod login;
mod packets;

pub(super) use client::{Client, Column, Done, Reply, Row};
pub(super) use login::{Channel, Greeting, Login, ask_for_tls, greeting, log_in};
pub(super) use packets::Packets;
