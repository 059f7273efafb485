//! Options that are on or off.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};

/// `#[arg(long, switch = false)]`.
pub(super) trait Switch {
    /// Taken as `--name` and `--name=false`. Unlike a plain flag it has a value, so that the command
    /// line can also turn off what the file or the environment has turned on.
    fn switch(self, default: bool) -> Self;
}

impl Switch for Arg {
    fn switch(self, default: bool) -> Self {
        self.value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_value(if default { "true" } else { "false" })
            .default_missing_value("true")
            .value_parser(BoolishValueParser::new())
            .action(ArgAction::Set)
            .hide_possible_values(true)
    }
}
