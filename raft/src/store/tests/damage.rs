//! Bits that flip, values that are cut, and rows that land in the wrong place.

use std::io;

use super::script::{Script, reopen};
use crate::disk::Table;
use crate::disk::simulated::{Loss, SimulatedDisk};

const ROUNDS: usize = 6_000;

#[tokio::test(start_paused = true)]
async fn no_damaged_record_is_ever_accepted() {
    let seed = 11;
    let disk = SimulatedDisk::recording(seed);
    let mut script = Script::new(disk.clone(), seed).await.expect("an empty disk opens");
    let has = |wanted, key_bytes| {
        disk.rows()
            .iter()
            .filter(|(table, key, _)| *table == wanted && key.len() == key_bytes)
            .count()
    };
    let meta = |name: &[u8]| {
        disk.rows().iter().any(|(table, key, _)| *table == Table::Meta && key == name)
    };
    // Entries of one row and of several, a snapshot of several chunks, and every single record.
    while has(Table::Log, 8) < 15
        || has(Table::Log, 12) < 3
        || has(Table::Chunk, 12) < 3
        || !meta(b"purged")
    {
        script.step().await.expect("the disk is healthy");
        // Obsolete rows may be damaged without anybody noticing, so wait until they are swept.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let steps = disk.steps();
    let rows = disk.rows();
    println!("seed {seed}: {} rows", rows.len());
    reopen(disk.image_at(steps, Loss::Kept, 0)).await.expect("undamaged, it opens");

    for round in 0..ROUNDS {
        let victim = script.random(rows.len() as u64) as usize;
        let (table, key, value) = &rows[victim];
        let other = &rows[script.random(rows.len() as u64) as usize].2;
        let mut changed = value.clone();
        let at = script.random(value.len() as u64) as usize;
        let kind = script.random(5);
        match kind {
            0 | 1 => {
                for _ in 0..=script.random(3) {
                    let at = script.random(value.len() as u64) as usize;
                    changed[at] ^= 1 << script.random(8);
                }
            }
            2 => changed.truncate(at),
            3 => changed[at..].fill(0),
            _ => changed.clone_from(other),
        }
        if changed == *value {
            continue;
        }
        let image = disk.image_at(steps, Loss::Kept, 0);
        image.damage(*table, key, |value| *value = changed);
        let context = format!("seed {seed}, round {round}, kind {kind}, {table:?} {key:02x?}");
        match reopen(image).await {
            Ok(_) => panic!("{context}: the damage was not noticed"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{context}: {error}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_row_of_the_log_or_the_snapshot_is_noticed_too() {
    let seed = 11;
    let disk = SimulatedDisk::recording(seed);
    let mut script = Script::new(disk.clone(), seed).await.expect("an empty disk opens");
    let has = |table| disk.rows().iter().filter(|row| row.0 == table).count();
    while has(Table::Chunk) == 0 || has(Table::Log) < 20 {
        script.step().await.expect("the disk is healthy");
        // Until what is purged is swept: nobody misses that.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    script.store.close().await.expect("closed");
    let steps = disk.steps();
    let rows = disk.rows();
    let mut lost = 0;
    for (table, key, _) in &rows {
        if *table == Table::Meta {
            continue;
        }
        let image = disk.image_at(steps, Loss::Kept, 0);
        crate::disk::Disk::remove(&image, *table, key).expect("removed");
        let error = reopen(image).await.err().unwrap_or_else(|| {
            panic!("seed {seed}: the loss of {table:?} {key:02x?} was not noticed")
        });
        let said = error.to_string();
        assert!(said.contains("missing") || said.contains("has acknowledged"), "{error}");
        assert!(error.to_string().contains("new node id"), "it says what to do: {error}");
        lost += 1;
    }
    assert!(lost >= 20, "only {lost} rows");
}
