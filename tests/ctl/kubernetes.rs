//! The example for Kubernetes: by the published schema, and by what the rest of this project says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bed::Ctl;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of the example.
fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(&file("examples/kubernetes.yaml")).unwrap()
}

/// The one of this kind, of which there is one.
fn of_kind(kind: &str) -> Value {
    let mut all = documents().into_iter().filter(|document| document["kind"] == kind);
    let one = all.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(all.next().is_none(), "several of kind {kind}");
    one
}

fn pod() -> Value {
    of_kind("StatefulSet")["spec"]["template"]["spec"].clone()
}

fn container(name: &str) -> Value {
    let pod = pod();
    let all = pod["containers"].as_array().unwrap();
    all.iter().find(|container| container["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// What the schema has against a document.
fn mistakes(document: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(&file("tests/ctl/kubernetes/schema.json")).unwrap();
    let kind = format!("{} {}", document["apiVersion"].as_str().unwrap(), document["kind"].as_str().unwrap());
    let mut of_kind = schema[&kind].clone();
    assert!(of_kind.is_object(), "no schema of {kind}: tests/ctl/kubernetes/reduce.py");
    of_kind["$defs"] = schema["$defs"].clone();
    let validator = jsonschema::validator_for(&of_kind).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_by_the_published_schema() {
    let documents = documents();
    assert_eq!(documents.len(), 5);
    for document in &documents {
        assert_eq!(mistakes(document), [""; 0], "{document}");
    }
}

#[test]
fn the_schema_finds_mistakes() {
    let good = of_kind("StatefulSet");
    let engine = "/spec/template/spec/containers/0";
    for (place, key, value, said) in [
        ("/spec/template/spec", "terminationGracePeriod", json!(70), "terminationGracePeriod"),
        (engine, "readynessProbe", json!({}), "readynessProbe"),
        (&format!("{engine}/livenessProbe"), "exec", json!(["polarctl"]), "polarctl"),
        (&format!("{engine}/securityContext"), "readOnlyRootFilesystem", json!("yes"), "yes"),
        ("/spec/template/spec", "terminationGracePeriodSeconds", json!("70s"), "70s"),
        ("/spec", "serviceName", json!(7), "7"),
        ("/spec", "selector", json!({ "app": "polardb" }), "app"),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(place).unwrap_or_else(|| panic!("{place}"))[key] = value;
        let found = mistakes(&bad).join("\n");
        assert!(found.contains(said), "{place} {key}: {found}");
    }
    let mut bad = good;
    bad["spec"].as_object_mut().unwrap().remove("template");
    assert!(mistakes(&bad).join("\n").contains("template"), "what has to be there");
}

/// Places of the containers' volumes.
fn mounts(container: &Value) -> BTreeMap<String, String> {
    let all = container["volumeMounts"].as_array().unwrap();
    let pair = |mount: &Value| {
        let text = |key: &str| mount[key].as_str().unwrap().to_owned();
        (text("mountPath"), text("name"))
    };
    all.iter().map(pair).collect()
}

fn environment(container: &Value) -> BTreeMap<String, String> {
    let all = container["env"].as_array().unwrap();
    let pair = |one: &Value| {
        (one["name"].as_str().unwrap().to_owned(), one["value"].as_str().expect("a string").to_owned())
    };
    all.iter().map(pair).collect()
}

/// What the configuration of an image comes to.
fn image(name: &str) -> toml::Table {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polar-supervisor"));
    let path = format!("{}/rootfs/{name}/etc/polardb/supervisor.toml", env!("CARGO_MANIFEST_DIR"));
    let output = command.env_clear().args(["--config", &path, "check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn seconds(span: &str) -> i64 {
    let minutes = span.strip_suffix('m').map(|number| number.parse::<i64>().unwrap() * 60);
    minutes.unwrap_or_else(|| span.strip_suffix('s').unwrap_or_else(|| panic!("{span}")).parse().unwrap())
}

#[test]
fn the_grace_period_is_longer_than_a_stop() {
    let stop = seconds(image("engine")["supervisor"]["stop_timeout"].as_str().unwrap());
    let grace = pod()["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace > stop + 5, "{grace} s, and a stop takes up to {stop} s");
    let engine = container("engine");
    let before = engine["lifecycle"]["preStop"]["exec"]["command"].as_array().unwrap();
    let waits = before.iter().skip_while(|word| *word != "--timeout").nth(1).unwrap().as_str().unwrap();
    assert!(grace > seconds(waits), "preStop waits {waits} of {grace} s");
}

#[test]
fn what_the_images_write_is_on_a_volume() {
    let config = image("engine");
    let engine = container("engine");
    let (mounts_there, set) = (mounts(&engine), environment(&engine));
    let program = &config["program"]["engine"];
    for place in [
        config["supervisor"]["run_dir"].as_str().unwrap(),
        config["supervisor"]["log_dir"].as_str().unwrap(),
        program["data_dir"].as_str().unwrap(),
        "/var/run/postgresql",
        "/dev/shm",
        "/tmp",
    ] {
        assert!(mounts_there.contains_key(place), "{place} is no volume");
    }
    assert!(program["socket_dir"].to_string().contains("/var/run/postgresql"));
    // A folder in the volume: the root of a volume is never the engine's own.
    let data = program["data_dir"].as_str().unwrap();
    assert!(set["PGDATA"].starts_with(&format!("{data}/")), "{set:?}");
    assert_eq!(set["POLAR_ENGINE_PARAMETERS_LISTEN_ADDRESSES"], "*", "for the Service");
    let secret = Path::new(&set["POSTGRES_PASSWORD_FILE"]);
    assert_eq!(mounts_there[secret.parent().unwrap().to_str().unwrap()], "secret");
    assert!(of_kind("Secret")["stringData"][secret.file_name().unwrap().to_str().unwrap()].is_string());
    let port = engine["ports"][0]["containerPort"].as_i64();
    assert_eq!(port, program["port"].as_integer());
    // The manager sees the same data, logs and socket, and has a folder for its own socket.
    let manager = container("manager");
    for place in ["/data", "/log", "/run/polardb"] {
        assert_eq!(mounts(&manager)[place], mounts_there[place], "{place}");
    }
    assert_eq!(environment(&manager)["PGDATA"], set["PGDATA"]);
    // All volumes are there.
    let set = of_kind("StatefulSet");
    let of = |list: &Value, name: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it.pointer(name).unwrap().as_str().unwrap().into()).collect()
    };
    let mut there = of(&pod()["volumes"], "/name");
    there.extend(of(&set["spec"]["volumeClaimTemplates"], "/metadata/name"));
    for name in mounts_there.values().chain(mounts(&manager).values()) {
        assert!(there.contains(name), "{name}");
    }
}

#[test]
fn it_needs_no_root_and_no_luck() {
    let pod = pod();
    assert_eq!(pod["enableServiceLinks"], false, "POLARDB_PORT");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]);
    assert_ne!(pod["shareProcessNamespace"], true);
    for name in ["engine", "manager"] {
        let context = container(name)["securityContext"].clone();
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
    }
    assert_eq!(of_kind("StatefulSet")["spec"]["replicas"], 1);
}

#[test]
fn names_and_labels_meet() {
    let set = of_kind("StatefulSet");
    let labels = set["spec"]["template"]["metadata"]["labels"].clone();
    assert_eq!(set["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    let services: Vec<Value> = documents().into_iter().filter(|it| it["kind"] == "Service").collect();
    for service in &services {
        assert_eq!(service["spec"]["selector"], labels, "{service}");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], container("engine")["ports"][0]["name"]);
    }
    let headless: Vec<&Value> = services.iter().filter(|it| it["spec"]["clusterIP"] == "None").collect();
    assert_eq!(headless.len(), 1);
    assert_eq!(headless[0]["metadata"]["name"], set["spec"]["serviceName"]);
    let secrets = pod()["volumes"].as_array().unwrap().clone();
    let secret = secrets.iter().find(|it| it["secret"].is_object()).unwrap();
    // Of the group, which is the pod's.
    assert_eq!(secret["secret"]["defaultMode"], 0o440);
    assert_eq!(secret["secret"]["secretName"], of_kind("Secret")["metadata"]["name"]);
}

#[test]
fn the_command_lines_are_polarctls() {
    let mut count = 0;
    for name in ["engine", "manager"] {
        let container = container(name);
        for place in ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/preStop"] {
            let Some(words) = container.pointer(&format!("{place}/exec/command")) else { continue };
            let words: Vec<&str> = words.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            assert_eq!(words[0], "polarctl", "{name}{place}");
            // What nobody may type ends with 2; --help alone would hide an unknown option behind it.
            let line = format!("{} --config /no/such/file", words[1..].join(" "));
            let ran = Ctl::new(&line).env("POLAR_SUPERVISOR_LOG_DIR", "/no/such/folder").ran();
            assert_ne!(ran.code, 2, "{name}{place}: {ran:?}");
            assert_eq!(Ctl::new(&format!("{} --help", words[1..].join(" "))).ran().code, 0, "{name}{place}");
            count += 1;
        }
    }
    assert_eq!(count, 4);
    assert_eq!(Ctl::new("health --alive --config /no/such/file").ran().code, 2);
    let liveness = container("engine")["livenessProbe"]["exec"]["command"].clone();
    assert_eq!(liveness, json!(["polarctl", "health", "--live"]));
}

#[test]
fn the_page_shows_the_example() {
    let (page, example) = (file("docs/kubernetes.md"), file("examples/kubernetes.yaml"));
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(blocks.len() >= 5, "{}", blocks.len());
    for block in blocks {
        assert!(example.contains(block), "not in examples/kubernetes.yaml:\n{block}");
    }
}
