//! The checkers' own tests: true histories pass, and each claim broken in several ways is caught.
//! (The simulation itself has no test harness; see its `main.rs`.)

#[path = "../checks/mod.rs"]
mod checks;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../history.rs"]
mod history;

mod agreement;
mod answers;
mod convergence;
mod durability;
mod min_index;
mod order;
mod outcomes;
mod story;
mod whole;
