//! TLS of the HTTPS interface.

use crate::bridge::tls::{self, Connector, Demand, Hints, Trust};
use crate::error::Result;

const HINTS: Hints = Hints {
    name: "name the server as its certificate does, or use tlsCheck=none",
    certificate: "check tlsCheck, tlsCa and the server's certificate",
    broken: "check that this port speaks HTTPS",
};

/// Builds the connector for `demand`; reads certificate files.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) or [`NotFound`](crate::error::ErrorKind::NotFound) for files that cannot be used.
pub(super) fn connector(demand: &Demand) -> Result<Connector> {
    let client = tls::client(rustls::ALL_VERSIONS, Trust::of(demand.check, demand.ca.as_deref())?, None)?;
    Ok(Connector::new(client, &HINTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::tls::Check;
    use crate::error::ErrorKind;

    #[test]
    fn files_are_read_where_they_are_needed() {
        let with = |check| connector(&Demand { check, ca: Some("/none.pem".into()) });
        assert!(with(None).is_ok());
        for check in [Check::Chain, Check::Identity] {
            let error = with(Some(check)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("/none.pem"), "{error}");
        }
    }
}
