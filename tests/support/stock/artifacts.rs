//! The jars of stock RocketMQ, and our few Java classes compiled against them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::OnceCell;

/// A stock release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 4.9.7.
    Four,
    /// 5.5.0.
    Five,
}

/// Where a version's classes are.
#[derive(Debug)]
pub(crate) struct Artifacts {
    jars: PathBuf,
    classes: PathBuf,
}

const INSTALL: &str = "tests beside stock RocketMQ need a JDK (17 or newer) and Maven: \
    `apt-get install default-jdk-headless maven`, or run .ci/run, which does";

impl Version {
    /// As Maven names it.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Four => "4.9.7",
            Self::Five => "5.5.0",
        }
    }

    /// Its artifacts, fetched and compiled unless that was done before.
    ///
    /// # Panics
    /// When Java or Maven is missing, or Maven cannot fetch: it says what to do.
    pub(crate) async fn artifacts(self) -> &'static Artifacts {
        static FOUR: OnceCell<Artifacts> = OnceCell::const_new();
        static FIVE: OnceCell<Artifacts> = OnceCell::const_new();
        let cell = match self {
            Self::Four => &FOUR,
            Self::Five => &FIVE,
        };
        let made = async || {
            let make = move || Artifacts::make(self);
            tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| panic!("{error}"))
        };
        cell.get_or_init(made).await
    }
}

impl Artifacts {
    /// As `java -cp` takes it.
    pub(crate) fn class_path(&self) -> String {
        format!("{}:{}/*", self.classes.display(), self.jars.display())
    }

    fn make(version: Version) -> Self {
        for tool in ["mvn", "java", "javac"] {
            let asked = Command::new(tool).arg("-version").stdin(Stdio::null()).output();
            assert!(asked.is_ok(), "`{tool}` cannot be started: {INSTALL}");
        }
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/stock");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stock").join(version.number());
        fs::create_dir_all(&dir).expect("a directory below target/");
        let lock = File::create(dir.join("lock")).expect("a lock file");
        // Several test programs may want the same at once; the lock ends with the file's handle.
        flock(&lock, FlockOperation::LockExclusive).expect("a lock");

        let pom = sources.join("maven").join(version.number()).join("pom.xml");
        let jars = dir.join("jars");
        let stamp = fs::read(&pom).expect("the pom is in the repository");
        made_from(&jars, &stamp, |into| fetch(&pom, into));

        let mut java: Vec<PathBuf> = fs::read_dir(sources.join("java"))
            .expect("the sources are in the repository")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        java.sort();
        let stamp: Vec<u8> =
            java.iter().flat_map(|path| fs::read(path).expect("a source")).collect();
        let classes = dir.join("classes");
        made_from(&classes, &stamp, |into| compile(&java, &jars, into));
        Self { jars, classes }
    }
}

/// Makes `dir` unless it was made from the same `stamp` before; there whole, or not at all.
fn made_from(dir: &Path, stamp: &[u8], make: impl FnOnce(&Path)) {
    let stamped = dir.join("made-from");
    if fs::read(&stamped).is_ok_and(|before| before == stamp) {
        return;
    }
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("a directory below target/");
    make(dir);
    fs::write(stamped, stamp).expect("a file below target/");
}

fn fetch(pom: &Path, into: &Path) {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-U", "-f"]).arg(pom).arg("dependency:copy-dependencies");
    succeed(maven.arg(format!("-DoutputDirectory={}", into.display())));
}

fn compile(sources: &[PathBuf], jars: &Path, into: &Path) {
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-proc:none", "-encoding", "UTF-8"]).arg("-d").arg(into);
    succeed(javac.arg("-cp").arg(jars.join("*")).args(sources));
}

fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; {INSTALL}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}
