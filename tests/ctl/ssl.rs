//! `ssl enable` and `ssl disable` on a real server, tried by a client that checks the certificate.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use polardb_manager::engine::access;
use serde_json::{Value, json};

use crate::bed::Ctl;
use crate::engine::{Engine, as_engine, done, postgres, refused, steps};

const RSA: &str = "-newkey rsa:2048";
const CURVE: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
const EDWARDS: &str = "-newkey ed25519";
/// Too few bits for what OpenSSL takes by default.
const WEAK: &str = "-newkey rsa:512";

/// A certificate of 127.0.0.1 and its key.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

fn openssl(line: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(line.split_whitespace()).stderr(Stdio::null()).stdin(Stdio::null());
    command
}

fn pair(engine: &Engine, name: &str, kind: &str) -> Pair {
    let path = |end: &str| engine.dir.path().join(format!("{name}.{end}"));
    let (cert, key) = (path("crt"), path("key"));
    let mut command = openssl(&format!("req -x509 {kind} -nodes -days 30 -subj /CN={name}"));
    command.args(["-addext", "subjectAltName=IP:127.0.0.1"]).arg("-keyout").arg(&key).arg("-out").arg(&cert);
    assert!(command.status().unwrap().success());
    fs::set_permissions(&cert, fs::Permissions::from_mode(0o644)).unwrap();
    Pair { cert, key }
}

fn enable(engine: &Engine, pair: &Pair) -> Ctl {
    let command = engine.command("ssl enable --output json");
    command.option("--cert", &pair.cert).option("--key", &pair.key)
}

/// A server on TCP that lets everybody in.
fn on_tcp() -> Engine {
    let engine = Engine::up_on_tcp();
    engine.write("pg_hba.conf", access::hba("trust"));
    engine.sql("select pg_reload_conf()");
    engine
}

/// Whether a client that wants TLS comes in; with `root`, only where the certificate is from that.
fn comes_in(engine: &Engine, root: Option<&Path>) -> bool {
    let mut target = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", engine.port());
    match root {
        Some(root) => target.push_str(&format!(" sslmode=verify-full sslrootcert={}", root.display())),
        None => target.push_str(" sslmode=require"),
    }
    let mut psql = as_engine("psql");
    psql.args(["-XAtc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()", &target]);
    psql.output().unwrap().stdout == b"t\n"
}

#[test]
fn self_signed_where_none_is_given_and_none_is_there() {
    let engine = on_tcp();
    assert!(!comes_in(&engine, None));
    let said = done(&engine.ctl("ssl enable --dry-run --output json"));
    assert_eq!((steps(&said).len(), &said["changed"]), (5, &json!(false)), "{said}");
    assert!(!engine.data().join("server.key").exists() && !comes_in(&engine, None));
    let json = done(&engine.ctl("ssl enable --output json"));
    assert_eq!(json["result"], json!({ "ssl": true, "shown_by": "handshake" }), "{json}");
    assert!(json["notes"][0].as_str().unwrap().contains("vouches"), "{json}");
    assert!(comes_in(&engine, None));
    let meta = fs::metadata(engine.data().join("server.key")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.uid()), (0o600, postgres().0));
    let key = engine.read("server.key");
    let again = done(&engine.ctl("ssl enable --output json"));
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])), "{again}");
    let off = done(&engine.ctl("ssl disable --output json"));
    assert_eq!((&off["changed"], comes_in(&engine, None)), (&json!(true), false), "{off}");
    assert_eq!(done(&engine.ctl("ssl disable --output json"))["changed"], false);
    done(&engine.ctl("ssl enable --output json"));
    assert!(comes_in(&engine, None) && engine.read("server.key") == key, "what is there is taken");
    let line = key.lines().nth(3).unwrap();
    assert!(!engine.server_log().contains(line) && !engine.manager_log().concat().contains(line));
}

#[test]
fn given_and_replaced() {
    let engine = on_tcp();
    let (first, second) = (pair(&engine, "first", RSA), pair(&engine, "second", CURVE));
    let said = done(&enable(&engine, &first).word("--dry-run").ran());
    assert_eq!(steps(&said)[..2], ["write server.key, mode 0600", "write server.crt, mode 0600"]);
    assert!(!engine.data().join("server.crt").exists());
    let json = done(&enable(&engine, &first).ran());
    assert_eq!(json["notes"], json!([]), "the certificate is seen");
    assert!(comes_in(&engine, Some(&first.cert)) && !comes_in(&engine, Some(&second.cert)));
    let replaced = done(&enable(&engine, &second).option("--ca", &first.cert).ran());
    assert!(comes_in(&engine, Some(&second.cert)) && !comes_in(&engine, Some(&first.cert)), "{replaced}");
    assert_eq!(engine.sql("show ssl_ca_file"), "root.crt");
    let again = done(&enable(&engine, &second).option("--ca", &first.cert).ran());
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])), "{again}");
    // Of another kind, of which nothing can be told beforehand.
    let third = pair(&engine, "third", EDWARDS);
    let noted = done(&enable(&engine, &third).ran());
    let notes = noted["notes"].as_array().unwrap();
    assert!(notes.len() == 1 && notes[0].as_str().unwrap().contains("rare kind"), "{noted}");
    let names = fs::read_dir(engine.data()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("polarctl-")));
}

#[test]
fn what_does_not_hold_is_refused_and_what_served_before_goes_on() {
    let engine = on_tcp();
    let (good, other) = (pair(&engine, "good", RSA), pair(&engine, "other", RSA));
    done(&enable(&engine, &good).ran());
    let conf = engine.read("postgresql.conf");
    let file = |name: &str| engine.dir.path().join(name);
    let mut encrypt = openssl("pkey -aes256 -passout pass:geheim");
    encrypt.arg("-in").arg(&other.key).arg("-out").arg(file("closed.key"));
    assert!(encrypt.status().unwrap().success());
    fs::write(file("garbage"), "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n").unwrap();
    let weak = pair(&engine, "weak", WEAK);
    for (cert, key, code) in [
        (&other.cert, good.key.clone(), "key_mismatch"),
        (&good.cert, pair(&engine, "curve", CURVE).key, "key_mismatch"),
        (&other.cert, file("closed.key"), "passphrase"),
        (&other.cert, file("garbage"), "bad_key"),
        (&other.cert, other.cert.clone(), "bad_key"),
        (&other.key, other.key.clone(), "bad_certificate"),
        (&other.cert, file("absent"), "file"),
        // The engine alone knows that this one does not hold.
        (&weak.cert, weak.key.clone(), "refused"),
    ] {
        let ran = enable(&engine, &Pair { cert: cert.clone(), key }).ran();
        assert_eq!((ran.code, ran.json()["error"]["code"].as_str()), (1, Some(code)), "{ran:?}");
        assert!(!ran.stdout.contains("geheim") && !ran.stdout.contains("nonsense"), "{ran:?}");
    }
    assert!(comes_in(&engine, Some(&good.cert)));
    assert_eq!(engine.read("server.key"), fs::read_to_string(&good.key).unwrap());
    assert_eq!(engine.read("postgresql.conf"), conf);
    assert_eq!(done(&enable(&engine, &good).ran())["steps"], json!([]));
}

#[test]
fn one_that_the_engine_refuses_leaves_it_without_tls_as_it_was() {
    let engine = on_tcp();
    let conf = engine.read("postgresql.conf");
    refused(&enable(&engine, &pair(&engine, "weak", WEAK)).ran(), 1, "refused");
    assert!(!engine.data().join("server.key").exists() && !engine.data().join("server.crt").exists());
    assert_eq!((engine.read("postgresql.conf"), engine.sql("show ssl")), (conf, "off".to_owned()));
    let history = engine.json("params history ssl");
    let last = history.as_array().unwrap().last().unwrap();
    assert_eq!((&last["old"], &last["new"]), (&json!("on"), &json!(null)), "{history}");
}

#[test]
fn over_what_alter_system_says_and_with_files_that_somebody_chose() {
    let engine = on_tcp();
    let chosen = pair(&engine, "chosen", RSA);
    let (uid, gid) = postgres();
    std::os::unix::fs::chown(&chosen.key, Some(uid), Some(gid)).unwrap();
    let conf = engine.read("postgresql.conf");
    let (cert, key) = (chosen.cert.display(), chosen.key.display());
    engine.write("postgresql.conf", format!("{conf}ssl_cert_file='{cert}'\nssl_key_file='{key}'\n"));
    engine.sql("alter system set ssl = off");
    done(&engine.ctl("ssl enable --output json"));
    assert!(comes_in(&engine, Some(&chosen.cert)) && !engine.data().join("server.key").exists());
    assert_eq!(done(&engine.ctl("ssl enable --output json"))["steps"], json!([]));
    let given = pair(&engine, "given", RSA);
    done(&enable(&engine, &given).ran());
    assert!(comes_in(&engine, Some(&given.cert)), "what is given counts");
}

#[test]
fn tls_13_alone_and_no_tcp_at_all() {
    let engine = on_tcp();
    let conf = engine.read("postgresql.conf");
    engine.write("postgresql.conf", format!("{conf}ssl_min_protocol_version='TLSv1.3'\n"));
    let json = done(&engine.ctl("ssl enable --output json"));
    assert!(json["notes"].to_string().contains("TLS 1.3 alone") && comes_in(&engine, None), "{json}");
    let mute = Engine::up();
    let json = done(&mute.ctl("ssl enable --output json"));
    assert_eq!(json["result"]["shown_by"], "settings");
    assert!(json["notes"].to_string().contains("no TCP address"), "{json}");
    assert_eq!(mute.sql("show ssl"), "on");
    assert_eq!(done(&mute.ctl("ssl enable --output json"))["steps"], json!([]));
    // As one leaves it that was killed before the engine was told.
    let pair = pair(&mute, "pair", RSA);
    mute.write("server.key", fs::read(&pair.key).unwrap());
    mute.write("server.crt", fs::read(&pair.cert).unwrap());
    fs::set_permissions(mute.data().join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(steps(&done(&enable(&mute, &pair).ran())), ["reload, confirmed by the engine"]);
}

#[test]
fn from_another_network_the_settings_alone_show_it() {
    let engine = on_tcp();
    let mut command = Command::new("unshare");
    command.args(["--net", "--", env!("CARGO_BIN_EXE_polarctl"), "--data-dir"]).arg(engine.data());
    command.args(["ssl", "enable", "--output", "json"]).env("POLAR_SUPERVISOR_LOG_DIR", engine.log_dir());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["result"]["shown_by"], "settings");
    assert!(json["notes"].to_string().contains("a network that is not this one"), "{json}");
    assert!(comes_in(&engine, None));
}

#[test]
fn a_key_without_its_certificate_and_a_certificate_without_its_key() {
    let engine = on_tcp();
    let pair = pair(&engine, "pair", RSA);
    engine.write("server.key", fs::read(&pair.key).unwrap());
    let json = done(&engine.ctl("ssl enable --output json"));
    assert_eq!(steps(&json)[0], "write server.key, mode 0600", "the engine takes none that others may read");
    assert!(steps(&json)[1].ends_with("days: server.crt"), "a certificate is made for it: {json}");
    assert!(comes_in(&engine, None));
    assert_eq!(engine.read("server.key"), fs::read_to_string(&pair.key).unwrap());
    fs::remove_file(engine.data().join("server.key")).unwrap();
    refused(&engine.ctl("ssl enable --output json"), 1, "no_key");
    assert!(comes_in(&engine, None), "what it has read serves on");
}

#[test]
fn no_program_openssl() {
    let engine = Engine::up();
    let ran = engine.command("ssl enable --output json").env("PATH", "/nowhere").ran();
    refused(&ran, 1, "no_openssl");
    let pair = pair(&engine, "pair", RSA);
    let ran = enable(&engine, &pair).env("PATH", "/nowhere").ran();
    assert_eq!(ran.code, 0, "none is needed for what is given: {ran:?}");
}

#[test]
fn on_engines_that_are_down_or_a_standby() {
    let mut engine = Engine::down();
    engine.write("ins_lock", "");
    let pair = pair(&engine, "pair", RSA);
    let json = done(&enable(&engine, &pair).ran());
    assert_eq!(json["result"]["shown_by"], "none");
    assert_eq!(done(&enable(&engine, &pair).ran())["steps"], json!([]));
    engine.start();
    assert_eq!(engine.sql("show ssl"), "on", "it starts with that");
    let standby = Engine::standby_of(&engine);
    done(&standby.ctl("ssl disable --output json"));
    done(&standby.ctl("ssl enable --output json"));
    assert_eq!(
        (standby.sql("show ssl"), standby.sql("select pg_is_in_recovery()")),
        ("on".into(), "t".into())
    );
}

#[test]
fn a_full_disk_leaves_what_served() {
    let small = Engine::on_small_disk();
    let (old, young) = (pair(&small, "old", RSA), pair(&small, "young", RSA));
    done(&enable(&small, &old).ran());
    small.fill_disk();
    refused(&enable(&small, &young).ran(), 1, "file");
    small.empty_disk();
    assert_eq!(small.read("server.key"), fs::read_to_string(&old.key).unwrap());
    assert_eq!(small.read("server.crt"), fs::read_to_string(&old.cert).unwrap());
}

#[test]
fn killed_and_called_again() {
    let engine = on_tcp();
    let (first, second) = (pair(&engine, "first", RSA), pair(&engine, "second", RSA));
    for number in 0..12_u32 {
        let pair = if number % 2 == 0 { &first } else { &second };
        let mut child = enable(&engine, pair).spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 12));
        child.kill().unwrap();
        child.wait().unwrap();
        done(&enable(&engine, pair).ran());
        assert!(comes_in(&engine, Some(&pair.cert)), "{number}");
        assert_eq!(done(&enable(&engine, pair).ran())["steps"], json!([]));
    }
    for number in 0..8_u32 {
        done(&engine.ctl("ssl disable --output json"));
        fs::remove_file(engine.data().join("server.crt")).unwrap();
        fs::remove_file(engine.data().join("server.key")).unwrap();
        let mut child = engine.command("ssl enable").spawn_to(Stdio::null(), Stdio::null());
        std::thread::sleep(Duration::from_millis(u64::from(number) * 40));
        child.kill().unwrap();
        child.wait().unwrap();
        done(&engine.ctl("ssl enable --output json"));
        assert!(comes_in(&engine, None), "{number}");
    }
}
