//! Does the world do what the other files say? Small programs on it, before any seed is run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use super::net::HostId;
use super::stream::Nic;
use super::{Death, Ended, World};
use signpost_chaos::random::Random;

const SERVER: HostId = 1;
const CLIENT: HostId = 2;
const PORT: u16 = 80;

/// What the programs saw, each with its own clock's milliseconds.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, u64)>>>);

impl Seen {
    fn note(&self, what: impl Into<String>, since: Instant) {
        let at_ms = since.elapsed().as_millis() as u64;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((what.into(), at_ms));
    }

    fn take(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All of them.
pub(crate) fn all() -> Result<(), String> {
    type Proof = fn(u64) -> Result<(), String>;
    let proofs: [(&str, Proof); 4] = [
        ("a frozen host's clock jumps before anything else happens to it", frozen),
        ("a cut holds back one way, and loses and reorders nothing", cut),
        ("a killed process is told of, a lost machine is not", deaths),
        ("a quick clock is quick, and jumps are seen at once", clocks),
    ];
    for (what, proof) in proofs {
        for seed in 1..=10 {
            proof(seed).map_err(|why| format!("{what}; seed {seed}: {why}"))?;
        }
    }
    Ok(())
}

fn world(seed: u64) -> World {
    World::new(Random::fork(seed, 0), Duration::from_millis(1), (1_000, 5_000))
}

fn run(world: &mut World, ms: u64) -> Result<(), String> {
    for _ in 0..ms {
        if let Some((id, how)) = world.step().into_iter().next() {
            return Err(format!("host {id} ended: {how:?}"));
        }
    }
    Ok(())
}

fn expect(holds: bool, what: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what:?}")) }
}

/// Notes each line that it reads, and how the connection ended.
async fn serve(nic: Nic, seen: Seen) -> Ended {
    let began = Instant::now();
    let listener = nic.bind(PORT);
    loop {
        let (mut stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let seen = seen.clone();
        tokio::spawn(async move {
            loop {
                let mut line = [0; 4];
                match stream.read_exact(&mut line).await {
                    Ok(_) => seen.note(String::from_utf8_lossy(&line), began),
                    Err(error) => return seen.note(error.kind().to_string(), began),
                }
                if stream.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Sends a number every ten milliseconds, and notes what comes back.
async fn ask(nic: Nic, seen: Seen) -> Ended {
    let began = Instant::now();
    let stream = nic.dial("server:80").await.map_err(|error| error.to_string())?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let heard = seen.clone();
    tokio::spawn(async move {
        let mut line = [0; 4];
        loop {
            match reader.read_exact(&mut line).await {
                Ok(_) => heard.note(String::from_utf8_lossy(&line), began),
                Err(error) => return heard.note(error.kind().to_string(), began),
            }
        }
    });
    for number in 0.. {
        if let Err(error) = writer.write_all(format!("{number:04}").as_bytes()).await {
            seen.note(error.kind().to_string(), began);
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    std::future::pending().await
}

fn pair(seed: u64) -> (World, Seen, Seen) {
    let mut world = world(seed);
    let (served, heard) = (Seen::default(), Seen::default());
    let seen = served.clone();
    world.boot(SERVER, "server", |nic| serve(nic, seen));
    let seen = heard.clone();
    world.boot(CLIENT, "client", |nic| ask(nic, seen));
    (world, served, heard)
}

fn numbers_are_in_order(seen: &[(String, u64)], from: usize) -> bool {
    seen.iter().zip(from..).all(|((number, _), expected)| *number == format!("{expected:04}"))
}

fn frozen(seed: u64) -> Result<(), String> {
    let (mut world, served, _) = pair(seed);
    let ticks = Seen::default();
    let noted = ticks.clone();
    world.spawn(SERVER, async move {
        let began = Instant::now();
        loop {
            sleep(Duration::from_millis(7)).await;
            noted.note("tick", began);
        }
    });
    run(&mut world, 100)?;
    let before = served.take();
    expect(before.len() > 5 && numbers_are_in_order(&before, 0), &before)?;
    ticks.take();
    world.freeze(SERVER);
    run(&mut world, 500)?;
    expect(served.take().is_empty() && ticks.take().is_empty(), "it went on")?;
    world.thaw(SERVER);
    run(&mut world, 2)?;
    let (after, ticked) = (served.take(), ticks.take());
    expect(after.len() > 40 && numbers_are_in_order(&after, before.len()), &after)?;
    let jumped = after.iter().chain(&ticked).all(|(_, at_ms)| *at_ms >= 600);
    expect(jumped && !ticked.is_empty(), (&after, &ticked))
}

fn cut(seed: u64) -> Result<(), String> {
    let (mut world, served, heard) = pair(seed);
    run(&mut world, 100)?;
    world.net().set_link(SERVER, CLIENT, |link| link.cut = true);
    run(&mut world, 20)?;
    heard.take();
    // Less than the shortest time after which a stalled connection is given up.
    run(&mut world, 100)?;
    let (there, back) = (served.take(), heard.take());
    expect(there.len() > 15 && numbers_are_in_order(&there, 0), &there)?;
    expect(back.is_empty(), &back)?;
    world.net().mend();
    run(&mut world, 250)?;
    let back = heard.take();
    expect(back.len() > 30 && back.windows(2).all(|pair| pair[0].0 < pair[1].0), &back)
}

fn deaths(seed: u64) -> Result<(), String> {
    let (mut world, _, heard) = pair(seed);
    run(&mut world, 50)?;
    world.kill(SERVER, Death::Killed);
    run(&mut world, 20)?;
    let told = heard.take();
    expect(told.iter().any(|(what, _)| what.parse::<u64>().is_err()), &told)?;

    let (mut world, served, heard) = pair(seed);
    run(&mut world, 50)?;
    world.kill(SERVER, Death::PowerCut);
    run(&mut world, 20)?;
    heard.take();
    run(&mut world, 500)?;
    let told = heard.take();
    expect(told.is_empty(), &told)?;
    // Back again it knows nothing of the connection.
    world.boot(SERVER, "server", |nic| serve(nic, served));
    run(&mut world, 300)?;
    let told = heard.take();
    expect(told.iter().any(|(what, _)| what.contains("connection reset")), &told)
}

fn clocks(seed: u64) -> Result<(), String> {
    let (mut world, served, _) = pair(seed);
    world.set_rate(SERVER, 1_100);
    run(&mut world, 1_000)?;
    let (_, at_ms) = served.take().pop().ok_or("nothing was served")?;
    expect((1_080..=1_100).contains(&at_ms), at_ms)?;
    world.jump(SERVER, Duration::from_secs(30));
    run(&mut world, 20)?;
    let later = served.take();
    expect((1..=3).contains(&later.len()) && later.iter().all(|(_, at_ms)| *at_ms > 31_000), &later)
}
