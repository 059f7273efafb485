//! A broker at work: what it does besides answering, and the order of its end.
//!
//! A stop: take no more sends, unregister, answer what is in flight, store what is queued, write
//! the tables, exit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use signpost_client::{LeaseKeeper, StopCause, TopicChange};
use signpost_remoting::connection::ConnectionLimits;
use signpost_remoting::{ServerLimits, serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::broker::Exit;
use crate::metrics_door;
use crate::requests::Requests;
use crate::service::{Service, now_ms};

/// Silent clients are looked for this often, and old segments. RocketMQ: 10 s both.
const SCAN_EVERY: Duration = Duration::from_secs(10);

/// A broker at work.
pub(crate) struct Running {
    pub(crate) listener: TcpListener,
    pub(crate) metrics_listener: Option<TcpListener>,
    pub(crate) service: Arc<Service>,
    pub(crate) keeper: LeaseKeeper,
    pub(crate) told: mpsc::UnboundedReceiver<TopicChange>,
    pub(crate) stop: CancellationToken,
}

impl Running {
    /// Runs to the end. Dropping the future ends all that it has begun.
    pub(crate) async fn run(self) -> Exit {
        let Self { listener, metrics_listener, service, keeper, mut told, stop } = self;
        let config = &service.config;
        let drain = Duration::from_millis(config.drain_ms);
        let limits = ServerLimits {
            connection: ConnectionLimits {
                idle: Duration::from_millis(config.idle_ms),
                max_in_flight: config.max_in_flight,
                ..ConnectionLimits::default()
            },
            max_connections: config.max_connections,
            drain,
        };
        let background = Background::start(&service, metrics_listener);
        let stop_serving = CancellationToken::new();
        let _ends = [stop_serving.clone(), service.held.end.clone()].map(|end| end.drop_guard());
        let handler = Arc::new(Requests(service.clone()));
        let mut serving = std::pin::pin!(serve(listener, handler, limits, stop_serving.clone()));

        let mut status = keeper.status();
        let mut failure = service.store.failure();
        let watch = async {
            loop {
                tokio::select! {
                    Some(change) = told.recv() => keeper.change_topics(change),
                    stopped = status.wait_for(|status| status.stopped.is_some()) => {
                        return match stopped {
                            // Nobody but us asks it to stop, so this is the one other cause.
                            Ok(_) => Exit::Superseded,
                            Err(_gone) => Exit::Failed("the lease keeper has died".to_owned()),
                        };
                    }
                    Ok(reason) = failure.wait_for(Option::is_some) => {
                        let reason = reason.as_deref().unwrap_or("unknown");
                        return Exit::Failed(format!("the commit log failed: {reason}"));
                    }
                    () = stop.cancelled() => return Exit::Stopped { unregistered: false },
                }
            }
        };
        let mut exit = tokio::select! {
            exit = watch => exit,
            // It returns only when told to.
            () = &mut serving => Exit::Stopped { unregistered: false },
        };
        service.stopping.store(true, Ordering::Relaxed);
        match &exit {
            Exit::Stopped { .. } => {
                let unregistering = keeper.stop(drain);
                let cause = tokio::select! {
                    cause = unregistering => cause,
                    () = &mut serving => StopCause::Asked { unregistered: false },
                };
                exit = match cause {
                    StopCause::Superseded => Exit::Superseded,
                    StopCause::Asked { unregistered } => Exit::Stopped { unregistered },
                };
            }
            // It is not ours to take out; another one's registration stands there.
            Exit::Superseded | Exit::Failed(_) => {
                tracing::error!(reason = %exit, "broker stops");
                drop(keeper);
            }
        }
        service.held.end.cancel();
        stop_serving.cancel();
        serving.await;
        background.end().await;
        close(service).await;
        tracing::info!(reason = %exit, "broker stopped");
        exit
    }
}

/// What goes on besides requests; ends at once when dropped.
struct Background {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Background {
    fn start(service: &Arc<Service>, metrics_listener: Option<TcpListener>) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(service.offsets.clone().run(stop.clone()));
        tasks.spawn(service.clone().run_schedule(stop.clone()));
        tasks.spawn(scan(service.clone(), stop.clone()));
        if let Some(listener) = metrics_listener {
            tasks.spawn(metrics_door::serve(listener, service.clone(), stop.clone()));
        }
        Self { tasks, stop }
    }

    /// Has what is to last written, and ends.
    async fn end(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

async fn scan(service: Arc<Service>, stop: CancellationToken) {
    let mut ticks = interval(SCAN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        service.scan(now_ms());
        service.clean().await;
    }
}

/// Waits until everything queued is stored.
async fn close(service: Arc<Service>) {
    // Sends to new topics, and reads, may still be on their way in tasks of their own.
    let tasks = service.tasks.clone();
    tasks.close();
    tasks.wait().await;
    let Some(service) = Arc::into_inner(service) else {
        return tracing::error!("the store is still in use; it closes with its last user");
    };
    if tokio::task::spawn_blocking(move || service.store.close()).await.is_err() {
        tracing::error!("closing the store panicked");
    }
}
