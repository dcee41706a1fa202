//! The way in: greeting, TLS, and the proof of the password by whichever plugin the server asks for.

use std::collections::HashMap;

use bytes::Bytes;
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin as _, Context, Error as AuthError, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize as _, MySerialize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::errors;
use super::packets::{Packets, malformed};
use crate::error::{Error, ErrorKind, Result};

/// Longest packet that we take: what the protocol allows.
const PACKET_BYTES: u32 = 1 << 30;
/// `utf8mb4_general_ci`, which all versions know.
const COLLATION: u8 = 45;

/// What the server says of itself first.
#[derive(Clone, Debug)]
pub(in super::super) struct Greeting {
    /// `9.7.4`, `10.11.19-MariaDB-0+deb12u1`.
    pub(in super::super) version: String,
    pub(in super::super) connection: u32,
    capabilities: CapabilityFlags,
    plugin: AuthPlugin<'static>,
    nonce: Vec<u8>,
}

/// Who logs in, and where to.
pub(in super::super) struct Login<'a> {
    pub(in super::super) user: &'a str,
    pub(in super::super) password: &'a str,
    pub(in super::super) database: Option<&'a str>,
    /// What the server shows of this program.
    pub(in super::super) program: &'a str,
}

/// How safe the way is on which the password goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Channel {
    Open,
    Tls,
    /// A socket of this machine.
    Local,
}

impl Greeting {
    /// Whether it can go on in TLS.
    pub(in super::super) fn has_tls(&self) -> bool {
        self.capabilities.contains(CapabilityFlags::CLIENT_SSL)
    }

    fn capabilities(&self, channel: Channel) -> CapabilityFlags {
        let mut wanted = CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_LONG_FLAG
            | CapabilityFlags::CLIENT_TRANSACTIONS
            | CapabilityFlags::CLIENT_LOCAL_FILES
            | CapabilityFlags::CLIENT_MULTI_STATEMENTS
            | CapabilityFlags::CLIENT_MULTI_RESULTS
            | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
            | CapabilityFlags::CLIENT_CONNECT_ATTRS;
        if channel == Channel::Tls {
            wanted |= CapabilityFlags::CLIENT_SSL;
        }
        // MariaDB takes this flag for another one and does not offer it.
        (wanted & self.capabilities) | CapabilityFlags::CLIENT_LONG_PASSWORD
    }
}

/// Receives the greeting.
pub(in super::super) async fn greeting<S>(packets: &mut Packets<S>) -> Result<Greeting>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let packet = packets.receive().await?;
    if packet.first() == Some(&0xff) {
        return Err(errors::of_packet(&packet));
    }
    let packet = HandshakePacket::deserialize((), &mut ParseBuf(&packet)).map_err(|_| malformed())?;
    let capabilities = packet.capabilities();
    if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
        let message = format!("the server is too old: version {}", packet.server_version_str());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let plugin = packet.auth_plugin().unwrap_or(AuthPlugin::MysqlNativePassword).into_owned();
    // MariaDB puts this before its version for the sake of old replicas.
    let version = packet.server_version_str();
    let version = version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned();
    Ok(Greeting { version, connection: packet.connection_id(), capabilities, plugin, nonce: packet.nonce() })
}

/// Asks to go on in TLS: what is sent next is its first record.
pub(in super::super) async fn ask_for_tls<S>(
    packets: &mut Packets<S>,
    greeting: &Greeting,
    login: &Login<'_>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The server takes these for those of the login, too.
    let mut capabilities = greeting.capabilities(Channel::Tls);
    capabilities.set(CapabilityFlags::CLIENT_CONNECT_WITH_DB, login.database.is_some());
    let request = SslRequest::new(capabilities, PACKET_BYTES, COLLATION);
    packets.send(&bytes(&request)).await
}

/// Proves who we are.
pub(in super::super) async fn log_in<S>(
    packets: &mut Packets<S>,
    greeting: &Greeting,
    (login, channel): (&Login<'_>, Channel),
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut plugin = greeting.plugin.clone();
    let mut nonce = greeting.nonce.clone();
    let mut procedure = procedure(&plugin, channel);
    let first = match &mut procedure {
        // The server will ask for another one where this one does not serve.
        Err(_) => Vec::new(),
        Ok(procedure) => answer(procedure, (login, channel), (&nonce, &nonce))?.unwrap_or_default(),
    };
    let response = HandshakeResponse::new(
        Some(first),
        (8, 0, 0),
        Some(login.user.as_bytes()),
        login.database.map(str::as_bytes),
        Some(plugin.clone()),
        greeting.capabilities(channel),
        Some(HashMap::from([("program_name".to_owned(), login.program.to_owned())])),
        PACKET_BYTES,
    );
    packets.send(&bytes(&response)).await?;
    loop {
        let packet = packets.receive().await?;
        let answered = match packet.first() {
            Some(0x00) => return Ok(()),
            Some(0xff) => return Err(errors::of_packet(&packet)),
            Some(0xfe) if packet.len() > 1 => {
                (plugin, nonce) = switched(&packet)?;
                procedure = self::procedure(&plugin, channel);
                answer(
                    procedure.as_mut().map_err(|error| refusal(&plugin, error))?,
                    (login, channel),
                    (&nonce, &nonce),
                )?
            }
            Some(0x01) => {
                let procedure = procedure.as_mut().map_err(|error| refusal(&plugin, error))?;
                answer(procedure, (login, channel), (&nonce, &packet[1..]))?
            }
            _ => return Err(malformed()),
        };
        if let Some(answered) = answered {
            packets.send(&answered).await?;
        }
    }
}

fn switched(packet: &Bytes) -> Result<(AuthPlugin<'static>, Vec<u8>)> {
    let request = AuthSwitchRequest::deserialize((), &mut ParseBuf(packet)).map_err(|_| malformed())?;
    let data = request.plugin_data();
    let nonce = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
    Ok((request.auth_plugin().into_owned(), nonce))
}

/// Why a plugin is not used.
#[derive(Debug)]
enum Unfit {
    Unknown,
    /// It sends the password as it is.
    Clear,
}

fn procedure(plugin: &AuthPlugin<'_>, channel: Channel) -> Result<AuthProc, Unfit> {
    match plugin {
        AuthPlugin::MysqlClearPassword if channel == Channel::Open => Err(Unfit::Clear),
        // Broken by design, gone since MySQL 5.7.5.
        AuthPlugin::MysqlOldPassword | AuthPlugin::Parsec | AuthPlugin::Other(_) => Err(Unfit::Unknown),
        plugin => plugin.init().map_err(|_| Unfit::Unknown),
    }
}

fn refusal(plugin: &AuthPlugin<'_>, unfit: &mut Unfit) -> Error {
    let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
    match unfit {
        Unfit::Unknown => Error::new(ErrorKind::Unsupported, format!("the server asks for a login by {name}"))
            .with_hint("use a user of caching_sha2_password, mysql_native_password or ed25519"),
        Unfit::Clear => Error::new(ErrorKind::Authentication, "the server asks for the password as it is, unencrypted")
            .with_hint("write ?ssl-mode=REQUIRED into the URL"),
    }
}

/// What is told to the plugins.
struct Told<'a> {
    password: &'a [u8],
    channel: Channel,
    nonce: &'a [u8],
}

impl Context for Told<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }
    fn is_ipc_transport(&self) -> bool {
        self.channel == Channel::Local
    }
    fn is_tls_transport(&self) -> bool {
        self.channel == Channel::Tls
    }
    fn scramble(&self) -> &[u8] {
        self.nonce
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

fn answer(
    procedure: &mut AuthProc,
    (login, channel): (&Login<'_>, Channel),
    (nonce, challenge): (&[u8], &[u8]),
) -> Result<Option<Vec<u8>>> {
    let told = Told { password: login.password.as_bytes(), channel, nonce };
    match procedure.run(told, challenge) {
        Ok(Response::Next { packet } | Response::Last { packet }) => Ok(packet),
        Err(AuthError::Password) => Err(Error::new(ErrorKind::Authentication, "the password does not fit its plugin")),
        Err(error) => Err(malformed().with_source(error)),
    }
}

fn bytes(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}
