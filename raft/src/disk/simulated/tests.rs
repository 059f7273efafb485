use super::*;

fn keys(disk: &SimulatedDisk) -> Vec<u8> {
    disk.rows().into_iter().map(|(_, key, _)| key[0]).collect()
}

fn put(disk: &SimulatedDisk, key: u8) {
    disk.put(Table::Log, &[key], &[key; 100]).expect("written");
}

#[tokio::test]
async fn a_crash_loses_what_was_not_synced() {
    let disk = SimulatedDisk::new(1);
    put(&disk, 1);
    put(&disk, 2);
    disk.sync().await.expect("synced");
    put(&disk, 3);
    disk.remove(Table::Log, &[1]).expect("removed");
    let found = disk.crash(Loss::Lost);
    assert_eq!(keys(&found), [1, 2]);
    assert!(disk.put(Table::Log, &[4], b"").is_err(), "the crashed handle is dead");
    assert_eq!(keys(&found.crash(Loss::Kept)), [1, 2], "what is found is durable");
}

#[tokio::test]
async fn a_sync_covers_what_was_written_before_it_and_no_more() {
    let disk = SimulatedDisk::new(1);
    put(&disk, 1);
    let sync = disk.sync();
    put(&disk, 2);
    sync.await.expect("synced");
    assert_eq!(keys(&disk.crash(Loss::Lost)), [1]);
}

#[tokio::test]
async fn each_loss_leaves_what_it_says() {
    let disk = SimulatedDisk::recording(7);
    for key in 1..=8 {
        put(&disk, key);
    }
    let steps = disk.steps();
    assert_eq!(keys(&disk.image_at(steps, Loss::Kept, 0)), [1, 2, 3, 4, 5, 6, 7, 8]);
    let (mut prefixes, mut reordered) = (0, 0);
    for seed in 0..100 {
        let kept = keys(&disk.image_at(steps, Loss::Prefix, seed));
        assert!((1..=8).zip(&kept).all(|(want, got)| want == *got), "{kept:?}");
        prefixes += usize::from(!kept.is_empty() && kept.len() < 8);

        let kept = keys(&disk.image_at(steps, Loss::Reordered, seed));
        reordered += usize::from(!(1..=8).zip(&kept).all(|(want, got)| want == *got));

        let torn = disk.image_at(steps, Loss::Torn, seed).rows();
        assert!(torn.iter().take(7).all(|(_, _, value)| value.len() == 100));
        assert!(torn[7].2.len() < 100);
    }
    assert!(prefixes > 50, "{prefixes} prefixes");
    assert!(reordered > 50, "{reordered} disorders");
    assert_eq!(keys(&disk.image_at(3, Loss::Kept, 0)), [1, 2, 3], "an earlier crash");
}

#[tokio::test]
async fn it_fails_when_it_was_told_to_and_what_failed_is_never_durable() {
    let disk = SimulatedDisk::new(1);
    disk.fail_write(2);
    disk.fail_sync(2);
    put(&disk, 1);
    assert!(disk.put(Table::Log, &[2], b"").is_err());
    disk.sync().await.expect("the first sync works");
    put(&disk, 3);
    assert!(disk.sync().await.is_err());
    put(&disk, 4);
    disk.sync().await.expect("a later sync says yes");
    assert_eq!(keys(&disk.crash(Loss::Lost)), [1, 4], "but does not save what the failed one lost");
}

#[tokio::test]
async fn a_healed_disk_fails_no_more_and_remembers_that_it_did() {
    let disk = SimulatedDisk::new(1);
    disk.fail_write(1);
    assert!(disk.put(Table::Log, &[1], b"").is_err());
    disk.fail_write(1);
    disk.fail_sync(1);
    disk.set_capacity_bytes(Some(10));
    disk.heal();
    put(&disk, 2);
    disk.sync().await.expect("synced");
    assert_eq!(disk.failures(), 1);
    assert_eq!(disk.crash(Loss::Lost).failures(), 0, "what is found is another disk");
}

#[tokio::test]
async fn it_fills_up_and_removing_makes_room() {
    let disk = SimulatedDisk::new(1);
    disk.set_capacity_bytes(Some(250));
    put(&disk, 1);
    put(&disk, 2);
    let error = disk.put(Table::Log, &[3], &[0; 100]).expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    put(&disk, 2);
    disk.remove(Table::Log, &[1]).expect("removed");
    put(&disk, 3);
    assert_eq!(disk.size_bytes(), 202);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sync_takes_its_time_and_the_crash_may_come_first() {
    let disk = SimulatedDisk::new(1);
    disk.set_sync_latency(Some(Duration::from_millis(10)..=Duration::from_millis(20)));
    put(&disk, 1);
    let begun = tokio::time::Instant::now();
    disk.sync().await.expect("synced");
    let took = begun.elapsed();
    assert!((10..=21).contains(&took.as_millis()), "{took:?}");

    put(&disk, 2);
    let sync = disk.sync();
    let found = disk.crash(Loss::Lost);
    assert!(sync.await.is_err(), "a sync that the crash overtook is not acknowledged");
    assert_eq!(keys(&found), [1]);
}
