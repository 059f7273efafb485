//! Requests to brokers, with the hooks that see them.

use std::sync::Arc;
use std::time::Duration;

use signpost_remoting::client::ClientOptions;
use signpost_remoting::{Client, InvokeError, RemotingCommand};

use crate::hooks::RpcHook;

/// The connections to brokers.
pub(crate) struct Brokers {
    client: Client,
    hooks: Vec<Arc<dyn RpcHook>>,
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// A hook has failed; nothing was sent.
    Hook { hook: String, reason: String },
    /// What the connection says.
    Invoke(InvokeError),
}

impl Brokers {
    pub(crate) fn new(options: ClientOptions, hooks: Vec<Arc<dyn RpcHook>>) -> Self {
        Self { client: Client::new(options), hooks }
    }

    /// Sends a request and waits for its response.
    pub(crate) async fn invoke(
        &self,
        address: &str,
        mut request: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, RequestError> {
        self.before(address, &mut request)?;
        let seen = (!self.hooks.is_empty()).then(|| request.clone());
        let response = self.client.invoke(address, request, timeout).await;
        let response = response.map_err(RequestError::Invoke)?;
        if let Some(request) = seen {
            self.hooks.iter().for_each(|hook| hook.after(address, &request, &response));
        }
        Ok(response)
    }

    /// Sends a request that has no response.
    pub(crate) async fn notify(
        &self,
        address: &str,
        mut request: RemotingCommand,
        timeout: Duration,
    ) -> Result<(), RequestError> {
        self.before(address, &mut request)?;
        self.client.notify(address, request, timeout).await.map_err(RequestError::Invoke)
    }

    /// Closes all connections.
    pub(crate) fn close(&self) {
        self.client.close();
    }

    fn before(&self, address: &str, request: &mut RemotingCommand) -> Result<(), RequestError> {
        for hook in &self.hooks {
            hook.before(address, request).map_err(|reason| RequestError::Hook {
                hook: hook.name().to_owned(),
                reason: reason.to_string(),
            })?;
        }
        Ok(())
    }
}
