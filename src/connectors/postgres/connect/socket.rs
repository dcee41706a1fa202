//! Unix sockets without a file, which libpq writes with an `@` before the name. Linux has them.

use std::io;

use tokio::net::UnixStream;

use super::super::config::Host;

/// The name of the socket behind a host that begins with `@`.
pub(super) fn abstract_name(host: &Host) -> Option<String> {
    host.name.strip_prefix('@').map(|folder| format!("{folder}/.s.PGSQL.{}", host.port))
}

/// Connects to it.
#[cfg(target_os = "linux")]
pub(super) fn abstract_stream(name: &str) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Connects to it.
#[cfg(not(target_os = "linux"))]
pub(super) fn abstract_stream(_name: &str) -> io::Result<UnixStream> {
    Err(io::ErrorKind::Unsupported.into())
}
