//! Ctrl-C and SIGTERM: the first one asks the run to stop and sweep, the second one ends the program.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};

/// What a shell reports for a program that Ctrl-C ended.
const KILLED: i32 = 130;

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Interrupt {
    stop: CancellationToken,
    listener: JoinHandle<()>,
}

impl Interrupt {
    /// Begins to listen.
    pub(super) fn listen() -> Result<Self> {
        let stop = CancellationToken::new();
        let (keyboard, system) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // On a thread of its own runtime worker: the second signal must get through whatever the run does.
        let listener = tokio::spawn(listen(stop.clone(), keyboard, system));
        Ok(Self { stop, listener })
    }

    /// Cancelled by the first signal.
    pub(super) fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Awaits `work`, which changes nothing, and drops it at the first signal.
    pub(super) async fn or_stop<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(stop: CancellationToken, mut keyboard: Signal, mut system: Signal) {
    loop {
        tokio::select! {
            _ = keyboard.recv() => {}
            _ = system.recv() => {}
        }
        if stop.is_cancelled() {
            std::process::exit(KILLED);
        }
        stop.cancel();
    }
}
