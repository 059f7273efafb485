//! How a JVM is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::artifacts::Version;

/// 4.9 does not start without these files; console output is what tests read.
const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %c{0} %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// Starts small and quickly rather than fast in the long run: many of these share two cores.
const MODEST: [&str; 5] = [
    "-Xms32m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    // No files in /tmp for tools that nobody uses here.
    "-XX:-UsePerfData",
];

/// What a JVM may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Heap, in MiB.
    pub(crate) heap_mib: u32,
    /// Direct buffers, in MiB.
    pub(crate) direct_mib: u32,
}

/// `java`, about to run `main` of a version's classes. `home` is this process's own: its
/// `ROCKETMQ_HOME`, and where its logs and default stores go.
pub(crate) async fn java(version: Version, home: &Path, memory: Memory, main: &str) -> Command {
    let artifacts = version.artifacts().await;
    let conf = home.join("conf");
    fs::create_dir_all(&conf).expect("a directory of the test's own");
    for program in ["broker", "namesrv", "tools"] {
        fs::write(conf.join(format!("logback_{program}.xml")), LOGBACK).expect("a file");
    }
    let mut command = Command::new("java");
    command
        .args(MODEST)
        .arg(format!("-Xmx{}m", memory.heap_mib))
        .arg(format!("-XX:MaxDirectMemorySize={}m", memory.direct_mib))
        // Mapped files are unmapped through these.
        .arg("--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED")
        .arg("--add-exports=java.base/sun.nio.ch=ALL-UNNAMED")
        .arg("--add-opens=java.base/sun.nio.ch=ALL-UNNAMED")
        .arg("--add-opens=java.base/java.nio=ALL-UNNAMED")
        .arg(format!("-Duser.home={}", home.display()))
        // Clients look again at who consumes what each second, not every 20 s.
        .arg("-Drocketmq.client.rebalance.waitInterval=1000")
        .args(["-cp", &artifacts.class_path(), main])
        .env("ROCKETMQ_HOME", home)
        .env_remove("NAMESRV_ADDR");
    command
}

/// The same for a stock program's own main class, started so that it ends with us (`java/Attached.java`).
pub(crate) async fn stock_program(
    version: Version,
    home: &Path,
    memory: Memory,
    main: &str,
    config: &[(String, String)],
) -> Command {
    let mut command = java(version, home, memory, "signpost.stock.Attached").await;
    command.args([main, "-c"]).arg(properties(home, config));
    command
}

fn properties(home: &Path, config: &[(String, String)]) -> PathBuf {
    let path = home.join("program.conf");
    let lines: String = config.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(&path, lines).expect("a file of the test's own");
    path
}
