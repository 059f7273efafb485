//! The long-running services.
//!
//! | module | runs |
//! | --- | --- |
//! | [`namesrv`] | one replica of the name service |
//! | [`broker`] | an embedded broker |

pub(crate) mod broker;
pub(crate) mod namesrv;
