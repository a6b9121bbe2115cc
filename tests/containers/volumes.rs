//! One volume and several containers, beside each other and one after the other.

use crate::bed::{Bed, docker};

#[test]
fn a_second_container_on_the_same_volume_ends_with_78_and_harms_nothing() {
    let Some(bed) = Bed::take(2) else { return };
    let data = bed.volume("data");
    let first = bed.engine("first").mount(&data, "/data").serving();
    first.sql("create table t (n int); insert into t values (1)");
    let before = first.postmaster();
    let second = bed.engine("second").mount(&data, "/data").run();
    assert_eq!(second.code, 78, "{second:?}");
    assert!(second.stderr.contains("another supervisor keeps the data directory"), "{second:?}");
    assert_eq!((first.sql("table t"), first.postmaster()), ("1".to_owned(), before));
    assert_eq!(first.stop(), 0);
    let third = bed.engine("third").mount(&data, "/data").serving();
    assert_eq!(third.sql("table t"), "1");
}

#[test]
fn a_bare_server_beside_it_is_not_started_over_a_volume_that_is_served() {
    let Some(bed) = Bed::take(2) else { return };
    let data = bed.volume("data");
    // One who knows no supervisor: postgres itself, as docker-library's image starts it.
    let first = bed.engine("first").mount(&data, "/data").serving();
    assert_eq!(first.stop(), 0);
    first.remove();
    let bare = bed
        .engine("bare")
        .with("--user 999:999 --entrypoint postgres")
        .mount(&data, "/data")
        .command(&["-D", "/data"])
        .start();
    crate::bed::until("the bare server", || {
        bare.exec(&["psql", "-U", "postgres", "-c", "select 1"]).code == 0
    });
    let before = bare.postmaster();
    let ours = bed.engine("ours").mount(&data, "/data").start();
    ours.said("postmaster.pid");
    assert_eq!(bare.postmaster(), before);
    assert_eq!(bare.exec(&["psql", "-U", "postgres", "-XAtc", "select 1"]).success(), "1");
}

#[test]
fn an_image_of_another_release_takes_the_volume_over() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.volume("data");
    let engine = bed.engine("old").mount(&data, "/data").serving();
    engine.sql("create table t (n int); insert into t values (1)");
    assert_eq!(engine.stop(), 0);
    engine.remove();
    let folder = bed.file("next/Dockerfile", &format!("FROM {}\nLABEL release=next\n", bed.images.engine));
    let next = bed.name("next");
    docker(["build", "-q", "-t", &next, &folder.parent().unwrap().display().to_string()]).success();
    let engine = bed.engine("new").image(&next).mount(&data, "/data").serving();
    assert_eq!(engine.at("/Config/Labels/release"), "next");
    assert_eq!(engine.sql("table t"), "1");
    assert_eq!(engine.stop(), 0);
    // And back: the image for release is the same engine without the tools.
    let back = bed.engine("release").image(&bed.images.release).mount(&data, "/data").serving();
    assert_eq!(back.sql("table t"), "1");
    assert_eq!(back.stop(), 0);
}
