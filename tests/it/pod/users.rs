//! The uid of the engine's user, and the title of the first process, in both containers.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::bed::{Image, Pids, Pod, UID};
use super::calls;
use super::life::installed;
use crate::common::{BOOT, Signal, until};

/// The uid of `postgres` in a container, as its shells have it.
fn uid(pod: &Pod, image: Image) -> String {
    pod.exec(image, &["su", "-", "postgres", "-c", "id -u"]).success()
}

fn title(pod: &Pod, image: Image) -> String {
    pod.exec(image, &["cat", "/proc/1/cmdline"]).success().replace('\0', " ")
}

#[test]
fn all_of_a_pod_have_the_uid_of_its_instance() {
    let machine = fs::read("/etc/passwd").unwrap();
    for pids in [Pids::Shared, Pids::Own] {
        let mut pod = installed(pids);
        for image in [Image::Manager, Image::Engine] {
            until("the uid", BOOT, || uid(&pod, image) == UID.to_string());
        }
        assert_eq!(pod.postmaster().unwrap().uid, UID);
        for path in [pod.data(""), pod.data("PG_VERSION"), pod.dir.path("log/pg_log")] {
            assert_eq!(fs::metadata(&path).unwrap().uid(), UID, "{}", path.display());
        }
        assert_eq!(fs::metadata(pod.data("")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(pod.exec(Image::Engine, &["pg", "-XAtc", "select 1"]).success(), "1");
        // A new container, from an image that knows nothing of it.
        assert_eq!(pod.exec(Image::Engine, &["polarctl", "health"]).code(), 0);
        pod.signal(Image::Engine, Signal::SIGTERM);
        assert_eq!(pod.ended(Image::Engine), 0);
        pod.boot(Image::Engine);
        pod.serves();
        assert_eq!((uid(&pod, Image::Engine), pod.postmaster().unwrap().uid), (UID.to_string(), UID));
    }
    assert_eq!(fs::read("/etc/passwd").unwrap(), machine, "the machine's own is nobody's here");
}

#[test]
fn first_processes_have_the_titles_that_others_spare() {
    let mut pod = Pod::start(Pids::Own);
    assert!(title(&pod, Image::Engine).contains("/docker_script/pg_tasks/supervisor.py"));
    assert!(title(&pod, Image::Manager).contains("/docker_script/init_and_pause.py"));
    for image in [Image::Manager, Image::Engine] {
        pod.signal(image, Signal::SIGTERM);
        assert_eq!(pod.ended(image), 0, "{}", pod.logs());
    }
    // Executed as they are, too.
    for (image, path) in [
        (Image::Engine, "/docker_script/pg_tasks/supervisor.py"),
        (Image::Manager, "/docker_script/init_and_pause.py"),
    ] {
        pod.boot_by(image, &[path], path);
        assert!(title(&pod, image).contains(path));
    }
}

#[test]
fn a_manager_that_is_told_no_number_says_so_and_runs() {
    for line in ["", "logic_ins_id=", "logic_ins_id=seven"] {
        let mut pod = Pod::build(Pids::Own).without(Image::Manager, "logic_ins_id");
        if !line.is_empty() {
            pod = pod.with(Image::Manager, line);
        }
        pod.boot(Image::Manager);
        until("its word", BOOT, || pod.logs().contains("user postgres keeps its uid"));
        assert_ne!(uid(&pod, Image::Manager), UID.to_string(), "{line}");
        assert!(!pod.first_has_ended(Image::Manager));
    }
}

#[test]
fn the_variable_of_such_a_pod_will_do() {
    let mut pod = Pod::build(Pids::Own);
    pod.boot_by(Image::Engine, &["polar-supervisor"], "polar-supervisor");
    pod.boot(Image::Manager);
    assert_eq!(calls::health(&pod).run(&pod).code(), 1);
    assert!(fs::read_dir(pod.data("")).unwrap().next().is_none(), "nobody makes a database by himself");
    calls::install(&pod).done(&pod);
    pod.serves();
    assert_eq!(pod.postmaster().unwrap().uid, UID);
}
