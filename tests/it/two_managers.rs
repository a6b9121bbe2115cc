//! T18: two managers lock and unlock at the same time.

use std::fs;
use std::time::{Duration, Instant};

use crate::adopted::postmasters;
use crate::common::{Exit, Instance, Random, Signal};

/// Both toggle the lock for a while; there is never more than one postmaster.
fn toggled(instance: &mut Instance) {
    let (lock, end) = (instance.lock(), Instant::now() + Duration::from_secs(10));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut random = Random::new();
                while Instant::now() < end {
                    fs::write(&lock, "").unwrap();
                    std::thread::sleep(random.within(Duration::from_millis(400)));
                    // The other one may have been faster.
                    fs::remove_file(&lock).ok();
                    std::thread::sleep(random.within(Duration::from_millis(400)));
                }
            });
        }
        while Instant::now() < end {
            let all = postmasters(instance);
            assert!(all.len() <= 1, "two postmasters: {all:#?}");
            assert_eq!(instance.exit(), None, "PID 1 ended");
            std::thread::sleep(Duration::from_millis(3));
        }
    });
}

#[test]
fn t18_two_managers_who_toggle_the_lock_end_with_what_the_last_one_did() {
    let mut instance =
        Instance::builder().with_database().set("program.engine.restart.give_up_after", 1).start();
    instance.ready();
    instance.sql("create table kept as select 7 as n");
    toggled(&mut instance);
    fs::write(instance.lock(), "").unwrap();
    instance.stays_down();
    assert_eq!(instance.cluster_state(), "shut down");
    fs::remove_file(instance.lock()).unwrap();
    instance.ready();
    assert_eq!(instance.sql("select n from kept"), "7");
    assert!(!instance.log().contains("gave up") && !instance.log().contains(" ERROR "));
    instance.until("no zombies", |it| it.zombies().is_empty());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
