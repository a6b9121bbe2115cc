//! What is answered.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bed::{Bed, SILENCE, SOON};
use super::{down, failed, locked, sidecar};
use crate::control::protocol::Status;

const PROBES: [&str; 3] = ["/startupz", "/livez", "/readyz"];
const LETS_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
const WANTS_A_PASSWORD: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
const RECOVERS: &[u8] = b"E\0\0\0\x37SFATAL\0C57P03\0Mthe database system is starting up\0\0";

fn statuses(bed: &Bed) -> [u16; 3] {
    PROBES.map(|path| bed.get(path).status)
}

fn tell(bed: &Bed, programs: Vec<Status>) {
    *bed.told.programs.lock().unwrap() = programs;
    // What was seen a moment ago is remembered; from here on nothing older is.
    let asked = bed.told.asked.load(Ordering::SeqCst);
    let begin = Instant::now();
    while bed.told.asked.load(Ordering::SeqCst) < asked + 2 {
        assert!(begin.elapsed() < SOON, "it is never asked again");
        bed.get("/livez");
    }
}

#[test]
fn an_engine_through_its_life() {
    let bed = Bed::new(vec![down("engine", "initializing", None), sidecar("exporter")]);
    assert_eq!(statuses(&bed), [503, 200, 503]);
    tell(&bed, vec![down("engine", "starting", None)]);
    assert_eq!(statuses(&bed), [503, 200, 503]);
    let (engine, _) = bed.engine("engine", LETS_IN);
    tell(&bed, vec![engine]);
    assert_eq!(statuses(&bed), [200, 200, 200]);
    assert_eq!(bed.get("/readyz").body, "ok\n");
    let more = bed.get("/readyz?verbose").body;
    assert_eq!(more, "[+] engine: running, takes connections\nreadyz: ok\n");
    tell(&bed, vec![locked("engine")]);
    assert_eq!(statuses(&bed), [200, 200, 503]);
    let body = bed.get("/readyz").body;
    assert_eq!(body, "[-] engine: down, locked by /data/ins_lock\nreadyz: failed\n");
    tell(&bed, vec![failed("engine")]);
    assert_eq!(statuses(&bed), [503, 503, 503]);
    let verdict = bed.get_with("/livez", "Accept: application/json\r\n").json();
    assert_eq!((&verdict["probe"], &verdict["ok"]), (&"live".into(), &false.into()));
    let text = verdict["engines"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("failed, failures in a row: 10"), "{text}");
}

#[test]
fn ready_is_what_the_engine_says() {
    let bed = Bed::new(Vec::new());
    let (engine, _) = bed.engine("engine", RECOVERS);
    tell(&bed, vec![engine]);
    assert_eq!(statuses(&bed), [200, 200, 503], "recovery is life");
    let body = bed.get("/readyz").body;
    assert!(body.contains("takes no connection: the database system is starting up"), "{body}");
    let bed = Bed::new(Vec::new());
    let (first, _) = bed.engine("a", WANTS_A_PASSWORD);
    tell(&bed, vec![first.clone()]);
    assert_eq!(bed.get("/readyz").status, 200);
    let (second, _) = bed.engine("second", b"what?");
    tell(&bed, vec![first.clone(), second]);
    let response = bed.get("/readyz?verbose");
    assert_eq!(response.status, 503);
    let body = response.body;
    assert!(body.contains("[+] a: ") && body.contains("none of a PostgreSQL server"), "{body}");
    tell(&bed, vec![first, super::engine("nowhere")]);
    let body = bed.get("/readyz").body;
    assert!(body.contains("/nowhere/.s.PGSQL.5432: nobody listens there"), "{body}");
}

#[test]
fn engines_that_hang_hold_up_no_other() {
    let bed = Bed::new(Vec::new());
    let engines =
        ["a", "bb", "ccc"].map(|name| bed.engine(name, if name == "ccc" { LETS_IN } else { SILENCE }).0);
    tell(&bed, engines.into());
    let begin = Instant::now();
    let body = bed.get("/readyz?verbose").body;
    assert!(begin.elapsed() < Duration::from_secs(2), "it took {:?}", begin.elapsed());
    for text in [
        "[-] a: running, takes no connection: ",
        "[-] bb: running, takes no",
        "no answer in time",
        "[+] ccc: ",
    ] {
        assert!(body.contains(text), "no {text} in {body}");
    }
    assert_eq!(bed.get("/livez").status, 200);
}

#[test]
fn status_and_metrics() {
    let mut programs = vec![locked("engine"), sidecar("exporter")];
    let bed = Bed::new(programs.clone());
    let response = bed.get("/status");
    assert_eq!(response.status, 200);
    let listed: Vec<Status> = serde_json::from_value(response.json()).unwrap();
    programs[0].lock.as_mut().unwrap().reason = Some("what the file says".into());
    assert_eq!(listed, programs);
    let response = bed.get_with("/metrics", "Accept: text/html\r\n");
    assert_eq!(response.status, 200);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(response.head.contains(kind), "{response:?}");
    assert!(response.body.ends_with("\n# EOF\n"), "{response:?}");
    assert!(response.body.contains("\npolar_up 1\n"), "{response:?}");
    assert!(response.body.contains("polar_program_locked{program=\"engine\"} 1\n"), "{response:?}");
}

#[test]
fn a_lock_file_on_a_disk_that_hangs() {
    let mut frozen = locked("engine");
    frozen.lock.as_mut().unwrap().file = "/frozen/ins_lock".into();
    let bed = Bed::new(vec![frozen.clone()]);
    for _ in 0..3 {
        let begin = Instant::now();
        let response = bed.get("/status");
        assert!(begin.elapsed() < Duration::from_secs(2), "it took {:?}", begin.elapsed());
        let listed: Vec<Status> = serde_json::from_value(response.json()).unwrap();
        assert_eq!(listed[0], frozen);
        assert_eq!(statuses(&bed), [200, 200, 503]);
    }
}

#[test]
fn what_is_not_here() {
    let bed = Bed::new(vec![locked("engine")]);
    for path in ["/", "/healthz", "/livez/", "/status/engine", "//livez", "/%6civez", "/livez%00"] {
        let response = bed.get(path);
        assert_eq!(response.status, 404, "{path}");
        assert!(response.body.contains("/readyz "), "{response:?}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let response = bed.send(&format!(
            "{method} /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        assert_eq!(response.status, 405, "{method}");
        assert!(response.head.contains("allow: GET, HEAD\r\n"), "{response:?}");
    }
    let head = bed.send("HEAD /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: 3\r\n"), "{head:?}");
}

#[test]
fn without_a_supervisor() {
    let bed = Bed::alone();
    assert_eq!(statuses(&bed), [503; 3]);
    let body = bed.get("/livez").body;
    assert!(body.starts_with("[-] the supervisor does not answer: "), "{body}");
    assert!(body.contains("supervisor.sock"), "{body}");
    let response = bed.get("/status");
    assert_eq!(response.status, 503);
    assert!(response.json()["error"].as_str().unwrap().contains("does not answer"));
    let response = bed.get("/metrics");
    assert_eq!((response.status, response.body.contains("\npolar_up 0\n# EOF\n")), (200, true));
}

#[test]
fn a_supervisor_that_hangs() {
    let bed = Bed::new(vec![locked("engine")]);
    assert_eq!(bed.get("/livez").status, 200);
    bed.told.hangs.store(true, Ordering::SeqCst);
    // What was seen before it hung is remembered for a moment.
    let begin = Instant::now();
    while bed.get("/livez").status == 200 {
        assert!(begin.elapsed() < SOON);
    }
    let asked = bed.told.asked.load(Ordering::SeqCst);
    for path in PROBES {
        let begin = Instant::now();
        let response = bed.get(path);
        assert_eq!(response.status, 503, "{path}");
        assert!(response.body.contains("the supervisor does not answer: no answer within"), "{response:?}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{path} took {:?}", begin.elapsed());
    }
    assert!(bed.get("/metrics").body.contains("\npolar_up 0\n"));
    assert!(bed.told.asked.load(Ordering::SeqCst) <= asked + 2, "each probe asks for itself");
    bed.told.hangs.store(false, Ordering::SeqCst);
    let begin = Instant::now();
    while bed.get("/livez").status != 200 {
        assert!(begin.elapsed() < SOON, "it does not come back");
    }
}

#[test]
fn many_ask_and_one_look_is_enough() {
    let bed = Bed::new(Vec::new());
    let (engine, connections) = bed.engine("engine", LETS_IN);
    tell(&bed, vec![engine]);
    let asked = bed.told.asked.load(Ordering::SeqCst);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(bed.get("/readyz").status, 200);
                    assert_eq!(bed.get("/metrics").status, 200);
                }
            });
        }
    });
    // One look each 200 ms, of two requests, and those at both ends.
    let looks = usize::try_from(begin.elapsed().as_millis()).unwrap() / 200 + 2;
    let requests = bed.told.asked.load(Ordering::SeqCst) - asked;
    assert!(requests <= 2 * looks, "{requests} requests in {:?}", begin.elapsed());
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections <= looks + 1, "{connections} connections in {:?}", begin.elapsed());
}
