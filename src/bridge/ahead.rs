//! Work on the items of a stream, in their order, of which a second is awaited and worked on beside the first.

use std::future::Future;

use futures::stream::{self, BoxStream, FuturesOrdered};
use futures::{Stream, StreamExt as _};

/// Items that are under way at once.
const AT_ONCE: usize = 2;

/// What `work` makes of each of `items`. While one of those that `is_large` says are, is under way, no other is asked for: what is
/// ahead is then held in memory for nobody, and may be held for long.
pub fn ahead<T, F>(
    items: BoxStream<'static, T>,
    is_large: impl Fn(&T) -> bool + Send + 'static,
    work: impl FnMut(T) -> F + Send + 'static,
) -> impl Stream<Item = F::Output> + Send
where
    T: Send + 'static,
    F: Future<Output: Send> + Send + 'static,
{
    let ahead =
        Ahead { items, is_large, work, under_way: FuturesOrdered::new(), is_last_large: false, has_ended: false };
    stream::unfold(ahead, |mut ahead| async move { ahead.next().await.map(|done| (done, ahead)) })
}

struct Ahead<T, L, W, F: Future> {
    items: BoxStream<'static, T>,
    is_large: L,
    work: W,
    under_way: FuturesOrdered<F>,
    is_last_large: bool,
    has_ended: bool,
}

impl<T, L, W, F> Ahead<T, L, W, F>
where
    L: Fn(&T) -> bool,
    W: FnMut(T) -> F,
    F: Future,
{
    async fn next(&mut self) -> Option<F::Output> {
        loop {
            let most = if self.is_last_large { 1 } else { AT_ONCE };
            let begins = !self.has_ended && self.under_way.len() < most;
            tokio::select! {
                biased;
                item = self.items.next(), if begins => match item {
                    Some(item) => {
                        self.is_last_large = (self.is_large)(&item);
                        self.under_way.push_back((self.work)(item));
                    }
                    None => self.has_ended = true,
                },
                done = self.under_way.next(), if !self.under_way.is_empty() => return done,
                else => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    /// A stream of `items` that counts those that were asked for, and work that waits for a permit each.
    fn begun(items: Vec<u32>) -> (Arc<AtomicUsize>, Arc<Semaphore>, BoxStream<'static, u32>) {
        let (asked, gate) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
        let (counter, door) = (Arc::clone(&asked), Arc::clone(&gate));
        let items = stream::iter(items).inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let work = move |item: u32| {
            let door = Arc::clone(&door);
            async move {
                door.acquire().await.unwrap().forget();
                item * 2
            }
        };
        (asked, gate, ahead(items.boxed(), |item| *item >= 100, work).boxed())
    }

    #[tokio::test]
    async fn a_second_item_is_begun_beside_the_first_but_none_beside_a_large_one() {
        for (items, expected) in [(vec![1, 2, 3, 4], 2), (vec![100, 2, 3, 4], 1), (vec![1, 100, 3, 4], 2)] {
            let (asked, gate, mut made) = begun(items.clone());
            assert!(made.next().now_or_never().is_none());
            assert_eq!(asked.load(Ordering::Relaxed), expected, "{items:?}");
            gate.add_permits(items.len());
            let all: Vec<u32> = made.collect().await;
            assert_eq!(all, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn no_items_make_nothing() {
        let (_, _, made) = begun(Vec::new());
        assert_eq!(made.collect::<Vec<_>>().await, [0; 0]);
    }
}
