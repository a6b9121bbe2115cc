//! The file, and what is planned by it.

use proptest::prelude::*;

use super::config::{Config, IMAGE_KEYS, Kind, RESULT, Source, TOP_KEYS, parse};
use super::plan::{self, Checkout, Choice, Engine, Run, plan};
use crate::image::cause::Cause;

/// The seed's own file, without its comments.
const SEED: &str = "\
---
images:
  - id: polardb_pg_engine_test
    type: engine
    build_image_name: polardb_pg/polardb_pg_engine_test
    build_image_dockerfile: ./docker/Dockerfile.pg.engine.test
    engine_repo: https://github.com/ApsaraDB/PolarDB-for-PostgreSQL.git
    engine_branch: main
    engine_config_template: src/backend/utils/misc/postgresql.conf.sample
    push: false
    enable: true
  - id: polardb_pg_engine_release
    type: engine
    build_image_name: polardb_pg/polardb_pg_engine_release
    build_image_dockerfile: ./docker/Dockerfile.pg.engine.release
    engine_repo: https://github.com/ApsaraDB/PolarDB-for-PostgreSQL.git
    engine_branch: main
    engine_config_template: src/backend/utils/misc/postgresql.conf.sample
    push: true
    enable: false
  - id: polardb_pg_manager
    type: manager
    build_image_name: polardb_pg/polardb_pg_manager
    build_image_dockerfile: ./docker/Dockerfile.manager
    engine_image_id: polardb_pg_engine_release
    push: false
    enable: true
";

/// A file of an engine `e` of packages and its manager `m`; other lines are those of the engine.
fn pair(lines: &str) -> String {
    let engine = format!(
        "  - id: e\n    type: engine\n    build_image_name: p/e\n    build_image_dockerfile: De\n{lines}"
    );
    let manager = "  - id: m\n    type: manager\n    build_image_name: p/m:7\n    build_image_dockerfile: Dm\n    engine_image_id: e\n";
    format!("images:\n{manager}{engine}")
}

const PACKAGES: &str = "    engine_packages: [postgresql-15]\n";

fn good(text: &str) -> Config {
    parse("f", text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

fn bad(text: &str) -> String {
    parse("f", text).map_or_else(|mistakes| mistakes.to_string(), |config| panic!("{config:?}"))
}

fn run() -> Run {
    let own = Checkout {
        source: "https://host/own".into(),
        branch: "trunk".into(),
        commit: "0123456789abcdef".into(),
        date: "20260102".into(),
    };
    Run { time: "20260304050607".into(), own, by: "me@host".into(), proxies: vec!["https_proxy".into()] }
}

#[test]
fn the_seeds_file_to_the_letter() {
    let config = good(SEED);
    assert_eq!((config.result.to_str(), config.notes.len()), (Some(RESULT), 0));
    let [test, release, manager] = config.images.as_slice() else { panic!("{config:?}") };
    let repo = Source::Repo {
        url: "https://github.com/ApsaraDB/PolarDB-for-PostgreSQL.git".into(),
        branch: "main".into(),
        template: Some("src/backend/utils/misc/postgresql.conf.sample".into()),
        command: None,
    };
    assert_eq!((&test.kind, test.push, test.enable), (&Kind::Engine(repo), false, true));
    assert_eq!((&release.kind, release.push, release.enable), (&test.kind, true, false));
    assert_eq!(manager.kind, Kind::Manager(release.id.clone()));
    assert_eq!(manager.dockerfile, "./docker/Dockerfile.manager");
}

#[test]
fn the_file_of_this_house() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/image.yml")).unwrap();
    let (ours, seed) = (good(&text), good(SEED));
    for (ours, seed) in ours.images.iter().zip(&seed.images) {
        let packages = Kind::Engine(Source::Packages(vec!["postgresql-15".into()]));
        let kind = if matches!(seed.kind, Kind::Engine(_)) { packages } else { seed.kind.clone() };
        assert_eq!(*ours, super::config::Image { kind, ..seed.clone() });
    }
    assert_eq!(ours.images.len(), seed.images.len());
}

#[test]
fn what_is_left_out_and_what_is_the_predecessors() {
    let text = pair(&format!("{PACKAGES}    engine_release_date: 20210910\n    pfsd_rpm: [a]\n"))
        + "polardb_rpm: x\npfsd_rpm: bash\n";
    let config = good(&text);
    assert!(config.images.iter().all(|image| image.push && image.enable));
    assert_eq!(config.notes.len(), 4);
    assert!(config.notes.iter().any(|note| note.contains("e.engine_release_date")), "{:?}", config.notes);
    // A number is a text where a text is wanted.
    let config = good(&pair("    engine_repo: https://h/r.git\n    engine_branch: 15\n"));
    assert!(matches!(&config.images[1].kind, Kind::Engine(Source::Repo { branch, .. }) if branch == "15"));
}

#[test]
fn the_keys_that_are_known() {
    let known = |text: &str| {
        let said = bad(text);
        let (_, known) = said.split_once("known: ").unwrap_or_else(|| panic!("{said}"));
        known.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    };
    let mut images = known("images: [{zzzzzzzz: 1}]");
    let mut top = known("zzzzzzzz: 1");
    images.sort();
    top.sort();
    assert_eq!((images, top), (sorted(&IMAGE_KEYS), sorted(&TOP_KEYS)));
}

#[test]
fn what_is_refused_with_its_line_and_what_was_meant() {
    let repo = "    engine_branch: main\n    engine_repo: ";
    for (text, said) in [
        (
            pair("    engine_pakages: [a]\n"),
            r#"f:11: unknown key "engine_pakages"; did you mean `engine_packages`?"#.to_owned(),
        ),
        (pair(&format!("{PACKAGES}    push: true\n    push: true\n")), "twice".to_owned()),
        ("images: []\n".to_owned(), "f: images: has no image".to_owned()),
        ("imges: []\n".to_owned(), "did you mean `images`?".to_owned()),
        ("result: a\n".to_owned(), "the key `images` is missing".to_owned()),
        (String::new(), "f:1: ".to_owned()),
        (pair(PACKAGES) + &pair(PACKAGES)[8..], r#"id: "e" is the id of another image"#.to_owned()),
        (
            pair(PACKAGES).replace("p/m:7", "p/e"),
            r#"f:9: e.build_image_name: "p/e" is the name of m, too"#.to_owned(),
        ),
        (
            pair(PACKAGES).replace("image_id: e", "image_id: ee"),
            r#"f:6: m.engine_image_id: there is no image "ee"; did you mean `e`?"#.to_owned(),
        ),
        (pair(PACKAGES).replace("image_id: e", "image_id: m"), "\"m\" is no engine".to_owned()),
        (
            pair(PACKAGES).replace("type: engine", "type: enginee"),
            r#"e.type: "enginee"; did you mean `engine`?"#.to_owned(),
        ),
        (pair(PACKAGES).replace("id: m", "id: ../m"), "an id is letters".to_owned()),
        (pair(PACKAGES).replace("id: m", "id: base"), "and not base".to_owned()),
        (pair(PACKAGES).replace("p/m:7", "P/m"), "m.build_image_name: \"P/m\": an image is named".to_owned()),
        (pair(PACKAGES).replace("Dm", "../Dm"), "leads out of the file's folder".to_owned()),
        (pair(PACKAGES).replace("Dm", "/Dm"), "leads out of the file's folder".to_owned()),
        (pair(PACKAGES).replace("Dm", "--help"), "would take for an option".to_owned()),
        (pair(""), "give one of engine_repo, engine_image and engine_packages".to_owned()),
        (pair(&format!("{PACKAGES}    engine_image: x\n")), "give one of".to_owned()),
        (
            pair(&format!("{PACKAGES}    engine_branch: x\n")),
            "e.engine_branch: goes with engine_repo alone".to_owned(),
        ),
        (pair(&format!("{PACKAGES}    engine_prefix: /x\n")), "goes with engine_image alone".to_owned()),
        (pair(&format!("{PACKAGES}    engine_image_id: x\n")), "is of type manager".to_owned()),
        (pair("    engine_packages: ['a; rm -r /']\n"), "is a list of packages".to_owned()),
        (pair("    engine_repo: https://h/r\n"), "e.engine_branch: is missing".to_owned()),
        (pair(&format!("{repo}https://me:pw@h/r\n")), "holds a user or password".to_owned()),
        (pair(&format!("{repo}https://token@h/r\n")), "holds a user or password".to_owned()),
        (pair(&format!("{repo}--upload-pack=x\n")), "would take for an option".to_owned()),
        (
            pair(&format!("{repo}https://h/r\n    engine_config_template: ../../x\n")),
            "leads out of the repository".to_owned(),
        ),
    ] {
        let found = bad(&text);
        assert!(found.contains(&said), "{found}\nand not\n{said}\n{text}");
    }
    // An address that names its user to ssh has no secret in it.
    good(&pair(&format!("{repo}git@h:r.git\n")));
    good(&pair(&format!("{repo}ssh://git@h/r.git\n")));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let said = bad(&pair("").replace("p/m:7", "P").replace("De", "/De"));
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn who_is_built_and_in_which_order() {
    let config = good(&pair(PACKAGES));
    let ids = |only: &[&str]| {
        let choice = Choice { only: only.iter().map(|id| (*id).to_owned()).collect(), ..Choice::default() };
        let made = plan(&config, &choice).unwrap();
        let ids =
            |images: Vec<&super::config::Image>| images.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
        (ids(made.images().collect()), ids(made.local.clone()))
    };
    let none: Vec<String> = Vec::new();
    // The manager stands first in the file.
    assert_eq!(ids(&[]), (vec!["e".to_owned(), "m".to_owned()], none.clone()));
    assert_eq!(ids(&["e"]), (vec!["e".to_owned()], none));
    assert_eq!(ids(&["m"]), (vec!["m".to_owned()], vec!["e".to_owned()]));
    let seed = good(SEED);
    let made = plan(&seed, &Choice::default()).unwrap();
    assert_eq!(made.local.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["polardb_pg_engine_release"]);
    assert!(made.pushed.is_empty());
    let only = vec!["polardb_pg_engine_relaese".to_owned()];
    let error = plan(&seed, &Choice { only, ..Choice::default() }).unwrap_err();
    assert!(error.to_string().contains("did you mean `polardb_pg_engine_release`?"), "{error}");
    let off = good(
        &pair(&format!("{PACKAGES}    enable: false\n")).replace("_id: e\n", "_id: e\n    enable: false\n"),
    );
    assert!(matches!(plan(&off, &Choice::default()), Err(Cause::NothingEnabled)));
}

#[test]
fn who_is_pushed() {
    let config = good(&pair(&format!("{PACKAGES}    push: false\n")));
    for (push, ids) in [(None, vec!["m"]), (Some(true), vec!["e", "m"]), (Some(false), vec![])] {
        let made = plan(&config, &Choice { push, ..Choice::default() }).unwrap();
        assert_eq!(made.pushed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ids);
    }
}

#[test]
fn the_command_lines_of_a_build() {
    let config = good(&pair(PACKAGES));
    let [manager, engine] = config.images.as_slice() else { panic!() };
    let Kind::Engine(source) = &engine.kind else { panic!() };
    let of = run().engine_of(source).unwrap();
    let labels = "--build-arg 'CodeSource=https://host/own' --build-arg 'CodeBranch=trunk' \
        --build-arg 'CodeVersion=0123456789abcdef' --build-arg 'BuildBy=me@host'";
    assert_eq!(
        plan::build_engine(&run(), engine, &of, true).to_string(),
        format!(
            "docker build --file De --tag p/e:15.20260102.01234567.20260304050607 --tag p/e:latest --no-cache \
             --build-arg https_proxy --build-arg 'BASE_IMAGE=polardb_pg/polardb_pg_base:bookworm' \
             --build-arg 'ENGINE_PACKAGES=postgresql-15' {labels} --build-arg 'PolarSource=packages' \
             --build-arg 'PolarBranch=postgresql-15' --build-arg 'PolarVersion=15' ."
        )
    );
    // A tag in the name wins, and no other is given beside.
    assert_eq!(
        plan::build_manager(&run(), manager, "p/e:1", false).to_string(),
        format!(
            "docker build --file Dm --tag p/m:7 --build-arg https_proxy --build-arg 'ENGINE_IMAGE_FULL_NAME=p/e:1' {labels} ."
        )
    );
    assert_eq!(plan::manager_tag(&run()), "20260304050607.01234567");
}

#[test]
fn the_command_lines_of_other_sources() {
    let lines = "    engine_repo: https://h/PolarDB.git\n    engine_branch: f/x\n    engine_config_template: a/c\n    engine_build_command: ./b\n";
    let config = good(&pair(lines));
    let engine = &config.images[1];
    let files = plan::files(engine).unwrap();
    assert!(files.clone.starts_with(".image/source/PolarDB-f-x-"), "{}", files.clone);
    let checkout = Checkout {
        source: "s".into(),
        branch: "b".into(),
        commit: "fedcba9876543210".into(),
        date: "20250101".into(),
    };
    let of = Engine { version: "15.8".into(), checkout };
    let line = plan::build_engine(&run(), engine, &of, false).to_string();
    for part in [
        "--tag p/e:15.8.20250101.fedcba98.20260304050607 ",
        "'ENGINE_PACKAGES='",
        &format!("'POLAR_SOURCE_DIR={}'", files.clone),
        "'CONF_TEMPLATE=.image/conf/e.conf.sample'",
        "'ENGINE_BUILD_COMMAND=./b'",
        "'PolarVersion=fedcba9876543210'",
    ] {
        assert!(line.contains(part), "{line} has no {part}");
    }
    let config = good(&pair(&lines.replace("    engine_build_command: ./b\n", "")));
    let line = plan::build_engine(&run(), &config.images[1], &of, false).0;
    assert!(line.contains(&format!("ENGINE_BUILD_COMMAND={}", plan::BUILD_COMMAND)), "{line:?}");
    let config = good(&pair("    engine_image: h:5000/x/y:3\n    engine_prefix: /p\n"));
    let Kind::Engine(source) = &config.images[1].kind else { panic!() };
    let line =
        plan::build_engine(&run(), &config.images[1], &run().engine_of(source).unwrap(), false).to_string();
    for part in ["p/e:3.2026", "'ENGINE_PACKAGES='", "'ENGINE_IMAGE=h:5000/x/y:3'", "'ENGINE_PREFIX=/p'"] {
        assert!(line.contains(part), "{line} has no {part}");
    }
}

#[test]
fn which_of_the_images_of_this_machine_is_taken() {
    for (listed, taken) in [
        ("", None),
        ("a:<none>\n", None),
        ("a:latest\na:2\na:1\n", Some("a:2")),
        ("a:latest\n", Some("a:latest")),
    ] {
        assert_eq!(plan::newest(listed), taken);
    }
}

proptest! {
    #[test]
    fn no_text_panics_the_reader(text in "\\PC{0,200}") {
        let _ = parse("f", &text);
    }

    #[test]
    fn nor_does_one_that_is_nearly_a_file(
        at in 0..SEED.len(), len in 0..40_usize, with in "[\\x00-\\x7f\u{e4}]{0,20}"
    ) {
        let mut text = SEED.to_owned();
        text.replace_range(at..(at + len).min(SEED.len()), &with);
        if let Ok(config) = parse("f", &text)
            && let Ok(made) = plan(&config, &Choice::default())
        {
            let _ = plan::would(&config, &made, false, |_| false);
        }
    }
}

#[test]
fn a_bomb_of_aliases_and_a_deep_one_end_soon() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..40 {
        bomb += &format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1);
    }
    bad(&bomb);
    bad(&format!("pfsd_rpm: {}", "[".repeat(100_000)));
    bad(&format!("pfsd_rpm: &a [{}]\nimages: [*a]", "*a,".repeat(1000)));
}
