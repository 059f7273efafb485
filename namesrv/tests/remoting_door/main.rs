//! The door for RocketMQ's protocol over real connections on loopback, with a fake log behind it.
//!
//! | file | shows |
//! | --- | --- |
//! | `door` | one replica's door, and a client that checks what every answer must be |
//! | `brokers` | 103, 104, 322, 904 |
//! | `routes` | 105: forms, zones, acting masters, order configuration; equality with HTTP |
//! | `lists` | 106, 206, 224, 304, 311 to 313, 901 |
//! | `kv` | 100, 101, 102, 219 |
//! | `admin` | 205, 216, 217, 318, 319, 327 |
//! | `protocol` | ids, header kinds, one-way requests, unknown codes, bounds |
//! | `freshness` | fallback to local reads; writes that wait for a leader |
//! | `hostile` | nonsense under every code |
//! | `opening` | a door that is closed before the first feeding and after the removal |
//! | `notices` | 905, which is sent to brokers |
//! | `nsaddr` | the address server |
//! | `metrics` | counters, and what a request leaves in the log |

#![expect(clippy::print_stdout, reason = "seeds are there to be read")]

mod admin;
mod brokers;
mod door;
mod freshness;
mod hostile;
mod kv;
mod lists;
mod metrics;
mod notices;
mod nsaddr;
mod opening;
mod protocol;
mod routes;
