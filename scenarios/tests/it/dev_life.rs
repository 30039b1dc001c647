//! The dev world as a process: how fast it is there, what it weighs, how it ends.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::dev_world::DevWorld;
use crate::{http, ports, service};

/// Loose: this binary is not optimised and shares the machine with other tests.
const READY: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(5);
const RESIDENT_KIB: u64 = 200 * 1024;
/// Time in which allocators and pools come to rest.
const IDLE: Duration = Duration::from_millis(500);

#[test]
fn the_dev_world_is_ready_soon_stays_small_and_ends_at_ctrl_c() {
    let mut world = DevWorld::start();
    println!("ready after {} ms", world.ready_after.as_millis());
    assert!(world.ready_after < READY);
    for url in ["gate", "facilitator", "ops", "rpc"].map(|door| world.text(door).to_owned()) {
        http::get(&url);
    }
    std::thread::sleep(IDLE);
    let resident = world.service.resident_kib();
    println!("idle: {} MiB resident", resident / 1024);
    assert!(resident < RESIDENT_KIB, "{resident} KiB");

    let started = Instant::now();
    world.service.signal("INT");
    let status = world.service.ended(ENDED);
    println!("ended {} ms after SIGINT", started.elapsed().as_millis());
    assert!(status.success(), "{status}");
    assert_eq!(world.service.rest_of_stdout(), [""; 0], "one JSON object and nothing else");
    for port in world.base..world.base + 5 {
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "port {port} is still taken");
    }
}

#[test]
fn the_dev_file_is_for_its_owner_only_and_gone_with_the_world() {
    let mut world = DevWorld::start();
    let file = world.state_folder().join("dev.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut kept: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let config = kept.as_object_mut().unwrap().remove("config").unwrap();
    let config = std::path::PathBuf::from(config.as_str().unwrap());
    assert!(config.is_file(), "what commands about this world read");
    assert_eq!(kept, world.said);
    world.service.signal("TERM");
    assert!(world.service.ended(ENDED).success());
    assert!(!file.exists() && !config.exists());
}

#[test]
fn a_busy_port_is_named_with_the_flag_that_moves_it() {
    for offset in 0..5 {
        let base = ports::row(5);
        let _taken = TcpListener::bind(("127.0.0.1", base + offset)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let mut command = service::faregate();
        command.args(["dev", "--json", "--port-base", &base.to_string()]);
        let refused = service::run(command.env("XDG_STATE_HOME", state.path()));
        assert!(!refused.status.success());
        assert!(refused.stdout.is_empty(), "{}", refused.stdout);
        for said in [(base + offset).to_string().as_str(), "--port-base"] {
            assert!(refused.stderr.contains(said), "{said} is not in {}", refused.stderr);
        }
    }
}
