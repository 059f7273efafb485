//! What is told at the end: rounds, medians, ratios, goals.

use std::fs;

/// Says what this runs on, so that figures are never without it.
pub(crate) fn machine() {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!(
        "machine: {cores} × {}, Linux {}, load before {load}",
        model.unwrap_or("unknown CPU"),
        kernel.trim()
    );
}

/// A heading.
pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

/// Figures of several lanes, round by round.
#[derive(Debug)]
pub(crate) struct Rounds {
    lanes: Vec<&'static str>,
    rows: Vec<Vec<f64>>,
}

impl Rounds {
    /// None yet, of these lanes.
    pub(crate) fn new(lanes: &[&'static str]) -> Self {
        let cells: Vec<String> = lanes.iter().map(|lane| format!("{lane:>26}")).collect();
        println!("  round {}", cells.join(""));
        Self { lanes: lanes.to_vec(), rows: Vec::new() }
    }

    /// One figure for each lane.
    pub(crate) fn add(&mut self, row: Vec<f64>) {
        println!("  {:>5} {}", self.rows.len() + 1, cells(&row));
        self.rows.push(row);
    }

    /// Shows the lanes' medians.
    pub(crate) fn show_medians(&self) {
        let medians: Vec<f64> = (0..self.lanes.len()).map(|lane| self.median(lane)).collect();
        println!(" median {}", cells(&medians));
    }

    /// The median of a lane.
    pub(crate) fn median(&self, lane: usize) -> f64 {
        median(self.rows.iter().map(|row| row[lane]))
    }

    /// The median of the rounds' ratios of two lanes.
    pub(crate) fn ratio(&self, lane: usize, of: usize) -> f64 {
        median(self.rows.iter().map(|row| row[lane] / row[of]))
    }
}

fn cells(row: &[f64]) -> String {
    row.iter().map(|figure| format!("{:>26}", number(*figure))).collect()
}

/// With as many decimals as its size calls for.
fn number(figure: f64) -> String {
    match figure.abs() {
        _ if figure.is_nan() => "-".to_owned(),
        1000.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}

/// A figure without a goal.
pub(crate) fn figure(what: &str, figure: impl std::fmt::Display) {
    println!("  {what}: {figure}");
}

/// A figure that is to be at least `goal`.
pub(crate) fn at_least(what: &str, figure: f64, goal: f64) {
    judged(what, figure, "≥", goal, figure >= goal);
}

/// A figure that is to be at most `goal`.
pub(crate) fn at_most(what: &str, figure: f64, goal: f64) {
    judged(what, figure, "≤", goal, figure <= goal);
}

fn judged(what: &str, figure: f64, sign: &str, goal: f64, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("  {what}: {} (goal {sign} {}: {verdict})", number(figure), number(goal));
}

/// The value in the middle; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 0.5)
}

/// The value that this share of all does not exceed; 0 of none.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}
