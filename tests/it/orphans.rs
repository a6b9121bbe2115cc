//! Orphans: whoever leaves children behind in the namespace, PID 1 reaps them.

use crate::common::{Exit, Instance, Signal};

#[test]
fn t05_ten_thousand_orphans_leave_no_zombie() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let before = instance.processes().len();
    // Each child of the shell's children outlives its parent.
    let line = "i=0; while [ $i -lt 10000 ]; do ( : & ) ; i=$((i+1)); done";
    instance.enter("sh", ["-c", line]).success();
    instance.until("no zombie", |it| it.zombies().is_empty());
    instance.until("no process more than before", |it| it.processes().len() <= before);
    assert_eq!(instance.sql("select 1"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
