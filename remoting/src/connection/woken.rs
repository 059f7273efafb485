//! [`Woken`]: whether a task was woken by what speaks seldom.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Tells a task's turns apart: most are for its stream, few for its timer, its queue or its orders.
///
/// To ask each of those at each turn takes locks and atomic writes. Polled with [`Woken::context`] they
/// leave a mark when they wake the task, and while there is none the task need not ask them.
pub(super) struct Woken {
    shared: Arc<Shared>,
    /// Of `shared`, made once.
    waker: Waker,
    /// The task's own, as `shared` knows it.
    task: Waker,
}

struct Shared {
    mark: AtomicBool,
    /// Kept, not taken, by a wake: else each would have to be followed by a new registration.
    task: Mutex<Waker>,
}

impl Woken {
    /// Marked, so that everything is polled once.
    pub(super) fn new() -> Self {
        let task = Waker::noop();
        let mark = AtomicBool::new(true);
        let shared = Arc::new(Shared { mark, task: Mutex::new(task.clone()) });
        Self { waker: Waker::from(Arc::clone(&shared)), shared, task: task.clone() }
    }

    /// Has one of them woken the task since this was asked last? To be asked at each turn, before
    /// any of them is polled: it is how this knows which task to wake.
    pub(super) fn take(&mut self, turn: &Context<'_>) -> bool {
        if !self.task.will_wake(turn.waker()) {
            self.task.clone_from(turn.waker());
            self.shared.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.task);
        }
        // After the task is known: a wake before that has left its mark, one after it finds the task.
        self.shared.mark.load(Ordering::Acquire) && self.shared.mark.swap(false, Ordering::AcqRel)
    }

    /// What they are to be polled with.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark.store(true, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(wakes: &Wakes) -> usize {
        wakes.0.load(Ordering::Relaxed)
    }

    #[test]
    fn every_wake_leaves_a_mark_and_wakes_the_task_that_asked_last() {
        let (first, second) = (Arc::<Wakes>::default(), Arc::<Wakes>::default());
        let wakers = [Waker::from(first.clone()), Waker::from(second.clone())];
        let [one, other] = wakers.each_ref().map(Context::from_waker);
        let mut woken = Woken::new();
        assert!(woken.take(&one), "everything is polled at first");
        assert!(!woken.take(&one));
        let seldom = woken.context().waker().clone();
        for expected in 1..=3 {
            seldom.wake_by_ref();
            assert_eq!((count(&first), count(&second)), (expected, 0));
            assert!(woken.take(&one));
            assert!(!woken.take(&one), "a mark is taken once");
        }
        assert!(!woken.take(&other), "the task has moved, and nothing else has happened");
        seldom.wake();
        assert_eq!((count(&first), count(&second)), (3, 1));
        assert!(woken.take(&other));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost_between_threads() {
        const EACH: usize = 20_000;
        let (sender, mut queue) = mpsc::channel::<()>(1);
        let (mut woken, mut ask_queue, mut received) = (Woken::new(), false, 0);
        let receiving = tokio::spawn(poll_fn(move |cx| {
            ask_queue |= woken.take(cx);
            while ask_queue {
                match queue.poll_recv(&mut woken.context()) {
                    Poll::Ready(Some(())) => received += 1,
                    Poll::Ready(None) => return Poll::Ready(received),
                    Poll::Pending => ask_queue = false,
                }
            }
            Poll::Pending
        }));
        for _ in 0..2 {
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    sender.send(()).await.expect("it receives until the last sender is gone");
                }
            });
        }
        drop(sender);
        let received = timeout(Duration::from_secs(30), receiving).await;
        assert_eq!(received.expect("a wake was lost").expect("no panic"), 2 * EACH);
    }
}
