//! Stock brokers at the doors of three replicas, over connections in memory and a log in memory.

mod closing;
mod epochs;
mod load;
mod repeats;
mod scene;
