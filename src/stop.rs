//! The wish to stop: SIGTERM, Ctrl-C, or the end of the parent.

use std::io::{self, Read as _};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::CUT_SHORT;

/// A token that is cancelled at the first SIGTERM or SIGINT; the second ends the process at once.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends it at once");
        token.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(i32::from(CUT_SHORT));
    });
    Ok(stop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Cancels the token when stdin ends. A parent that holds the other end of the pipe takes its
/// children along however it dies, kill -9 included.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn when_stdin_closes(stop: CancellationToken) -> io::Result<()> {
    // A thread of its own: tokio's stdin would keep the runtime from ending.
    let watch = move || {
        let mut sink = [0_u8; 64];
        while let Ok(1..) = io::stdin().read(&mut sink) {}
        tracing::info!("the parent is gone: stopping");
        stop.cancel();
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(watch)?;
    Ok(())
}
