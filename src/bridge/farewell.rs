//! The door to servers that are to hear one more word of which nobody awaits the answer: above all that a statement is to end.
//! The program stays until such words are said.

use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// A server that does not answer must not hold the program up.
const PATIENCE: Duration = Duration::from_secs(2);

static WORDS: LazyLock<Mutex<JoinSet<()>>> = LazyLock::new(Mutex::default);

/// Lets `words` be said in the background; where no runtime is there to do it, they are not.
pub fn say(words: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = Handle::try_current() else { return };
    let mut all = WORDS.lock();
    while all.try_join_next().is_some() {}
    all.spawn_on(words, &runtime);
}

/// Waits until all is said, or patience is over.
pub async fn said() {
    let mut all = std::mem::take(&mut *WORDS.lock());
    let _ = tokio::time::timeout(PATIENCE, async { while all.join_next().await.is_some() {} }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn words_are_awaited() {
        let heard = Arc::new(AtomicBool::new(false));
        let hearer = Arc::clone(&heard);
        say(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            hearer.store(true, Ordering::SeqCst);
        });
        said().await;
        assert!(heard.load(Ordering::SeqCst));
    }
}
