//! What the clients do, and what they were told.
//!
//! | module | holds |
//! | --- | --- |
//! | [`names`] | the topics, keys and brokers that a run uses; nothing of anybody else's |
//! | [`requests`] | the HTTP request of each call, and what its reply means |
//! | [`told`] | the history, as it grows |
//! | [`client`] | one client: owns a broker, shares topics and keys, writes and reads at any replica |
//! | [`fleet`] | a crowd of brokers that only keep their leases |
//! | [`sends`] | producers, which send messages to the embedded brokers |
//! | [`storm`] | hundreds of brokers that register at once |

pub mod client;
pub mod fleet;
pub mod names;
pub mod requests;
pub mod sends;
pub mod storm;
pub mod told;
