//! The compose file of the local instance, by what the files that it mounts say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn service() -> Value {
    let text = fs::read_to_string(root().join("docker/compose.local-instance.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    file["services"]["instance"].clone()
}

/// Where its volumes lie: source, place.
fn volumes() -> Vec<(String, String)> {
    let service = service();
    let all = service["volumes"].as_array().unwrap().iter();
    all.map(|line| {
        let mut words = line.as_str().unwrap().split(':');
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn what_it_mounts_is_there_and_complete() {
    let files: Vec<(PathBuf, String)> = volumes()
        .into_iter()
        .filter(|(source, _)| source.starts_with('.'))
        .map(|(source, place)| (root().join("docker").join(source), place))
        .collect();
    let base = root().join("rootfs/local-instance");
    let mut missing = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let place = Path::new("/").join(path.strip_prefix(&base).unwrap());
            let mounted = files.iter().any(|(source, at)| {
                place.strip_prefix(at).is_ok_and(|rest| {
                    let found = if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) };
                    found.canonicalize().is_ok_and(|found| found == path.canonicalize().unwrap())
                })
            });
            if !mounted {
                missing.push(place.clone());
            }
            // A bind mount keeps the mode of the checkout.
            let mode = path.metadata().unwrap().permissions().mode();
            let script = fs::read(&path).unwrap().starts_with(b"#!");
            assert_eq!(mode & 0o111 != 0, script, "{}: {mode:o}", path.display());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn its_places_and_times_are_those_of_the_configuration() {
    let path = root().join("rootfs/local-instance/etc/polardb/supervisor.toml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polar-supervisor"));
    let output = command.env_clear().arg("--config").arg(&path).arg("check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let config: toml::Table = toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let supervisor = &config["supervisor"];
    let seconds = |text: &str| text.strip_suffix('s').unwrap().parse::<u32>().unwrap();
    let service = service();
    let grace = seconds(service["stop_grace_period"].as_str().unwrap());
    assert!(grace > seconds(supervisor["stop_timeout"].as_str().unwrap()) + 5, "{grace}");
    let places: Vec<String> = volumes().into_iter().map(|(_, place)| place).collect();
    assert!(places.contains(&supervisor["log_dir"].as_str().unwrap().to_owned()));
    let run = supervisor["run_dir"].as_str().unwrap();
    assert!(service["tmpfs"][0].as_str().unwrap().starts_with(run));
    for name in ["primary", "replica1"] {
        let data = Path::new(config["program"][name]["data_dir"].as_str().unwrap());
        assert!(places.contains(&data.parent().unwrap().display().to_string()), "{name}");
    }
    let port = |name: &str| config["program"][name]["port"].as_integer().unwrap();
    assert_eq!((port("primary"), port("replica1")), (5432, 5433));
    let entry = service["entrypoint"][0].as_str().unwrap();
    assert!(places.iter().any(|place| place == entry));
}
