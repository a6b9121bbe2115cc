//! The command lines of PolarDB Stack's operator and of ClusterManager.

use std::process::Command;

use super::bed::{Image, LOGIC_ID, Pod};
use crate::common::{BOOT, Done, finish};

/// Parameters as the operator's template has them, in double quotes and escaped, with what a test's machine needs.
const MYCNF: &str = r#"{\"log_directory\":\"'log'\",\"max_connections\":\"50\",\"shared_buffers\":\"'16MB'\",\"listen_addresses\":\"'127.0.0.1'\",\"max_conn\":\"100\"}"#;

/// What the operator's ConfigMap has for every call, of local storage.
fn variables(pod: &Pod) -> String {
    format!(
        "cluster_custins_info='' cust_ins_id='1000' mycnf_dict=\"{MYCNF}\" storage_type='local' \
         port='{{\"1001\":{{\"access_port\":[{0}],\"link\":[{0}],\"perf_port\":[{0}]}}}}' logic_ins_id='{LOGIC_ID}' \
         slot_unique_name='1001' on_pfs='False' ins_id='1001' pod_name='c-1000-1001' service_type='polardb_mpd_rw'",
        pod.port.number()
    )
}

/// The port, as the operator names it.
fn host_ip(pod: &Pod) -> String {
    format!(
        "srv_opr_host_ip='{{\"access_port\":[{0}],\"link\":[{0}],\"perf_port\":[{0}]}}'",
        pod.port.number()
    )
}

/// A call of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    image: Image,
    words: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Call {
    /// `bash -c "VARIABLES  python /docker_script/entry_point.py"` in the manager.
    fn operator(kind: &str, action: &str, variables: &str) -> Self {
        let line = format!(
            "srv_opr_type='{kind}' srv_opr_action='{action}' {variables}  python /docker_script/entry_point.py"
        );
        Self::of(Image::Manager, &["bash", "-c", &line])
    }

    pub fn of(image: Image, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Call { image, words, environment: Vec::new() }
    }

    /// ClusterManager's, in the manager.
    pub fn cluster_manager(line: &str) -> Self {
        Self::of(Image::Manager, &["sh", "-c", line])
    }

    /// With a further variable around it.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a command that is not run yet.
    pub fn command(&self, pod: &Pod) -> Command {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut command = pod.command(self.image, &words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Done to its end.
    pub fn run(&self, pod: &Pod) -> Done {
        finish(self.command(pod), BOOT)
    }

    /// Done, and well; what it said.
    pub fn done(&self, pod: &Pod) -> String {
        let done = self.run(pod);
        assert_eq!(done.code(), 0, "{self:?}: {done:?}");
        done.stdout
    }
}

pub fn install(pod: &Pod) -> Call {
    let tablespace =
        "create_tablespace_env='{\"tablespace_name\":\"polar_tmp\",\"tablespace_path\":\"/log/pg_tmp\"}'";
    Call::operator("hostins_ops", "setup_install_instance", &format!("{} {tablespace}", variables(pod)))
}

/// Of a standby of this primary.
pub fn install_standby(pod: &Pod, primary: &Pod, password: &str) -> Call {
    let info = format!(
        r#"{{"polardb_mpd_rw":{{"1000":{{"accounts":{{"replicator":{{"priviledge_type":15,"account":"replicator","password":"{password}"}}}},"hostins":{{"1001":{{"role":0,"port":{},"ins_ip":"127.0.0.1"}}}},"ins_type":0}}}}}}"#,
        primary.port.number()
    );
    let variables = variables(pod)
        .replace("cluster_custins_info=''", &format!("cluster_custins_info='{info}'"))
        .replace("cust_ins_id='1000'", "cust_ins_id='2000'")
        .replace("slot_unique_name='1001'", "slot_unique_name='2001'")
        .replace("'polardb_mpd_rw'", "'polardb_mpd_standby'");
    let tablespace =
        "create_tablespace_env='{\"tablespace_name\":\"polar_tmp\",\"tablespace_path\":\"/log/pg_tmp\"}'";
    Call::operator(
        "hostins_ops",
        "setup_install_instance",
        &format!("{variables} {tablespace} write_recovery_conf='true' lock_install_ins='True'"),
    )
}

pub fn progress(pod: &Pod) -> Call {
    Call::operator("hostins_ops", "query_installation_progress", &variables(pod))
}

pub fn system_identifier(pod: &Pod) -> Call {
    Call::operator("hostins_ops", "get_system_identifier", &variables(pod))
}

pub fn log_agent(pod: &Pod) -> Call {
    let more = "base_collect_path='/sys/fs/cgroup/' pod_collect_path='/kubepods/burstable/pod1/2' ins_name='i' access_port='3001' phy_ins_id='1000'";
    Call::operator("hostins_ops", "setup_logagent_config", &format!("{} {more}", variables(pod)))
}

pub fn health(pod: &Pod) -> Call {
    Call::operator("health_check", "hostins_check", &host_ip(pod))
}

pub fn start() -> Call {
    Call::operator("hostins_ops", "start_instance", "")
}

pub fn stop() -> Call {
    Call::operator("hostins_ops", "stop_instance", "")
}

pub fn restart() -> Call {
    Call::operator("hostins_ops", "restart_instance", "")
}

pub fn account(pod: &Pod, name: &str, password: &str, privilege: u32) -> Call {
    let more =
        format!("srv_opr_user_name='{name}' srv_opr_password='{password}' srv_opr_privilege='{privilege}'");
    Call::operator("account", "create", &format!("{} {more}", host_ip(pod)))
}

/// The slot of the node 2001, of a standby.
pub fn standby_slot(pod: &Pod) -> Call {
    let current = r#"{"pod_name":"c-2000-2001","custins_id":"2000","slot_unique_name":"2001"}"#;
    let topology = r#"{"polardb_mpd_standby":{"2000":{"custins_id":"2000"}}}"#;
    Call::operator(
        "replica",
        "create_replication",
        &format!(
            "service_type='polardb_mpd_rw' current_ins='{current}' ro_custins_current='{current}' \
             ins_topology_4_replication='{topology}' pod_name='c-1000-1001' slot_unique_name='1001' {}",
            host_ip(pod)
        ),
    )
}

/// The slot of the node 1002, an RO.
pub fn replica_slot(pod: &Pod) -> Call {
    let node = |id: u32| {
        format!("{{\"pod_name\":\"c-1000-{id}\",\"custins_id\":\"1000\",\"slot_unique_name\":\"{id}\"}}")
    };
    Call::operator(
        "replica",
        "create_replication",
        &format!(
            "service_type='polardb_mpd_rw' current_ins='{}' ro_custins_current='{}' pod_name='c-1000-1001' \
             slot_unique_name='1001' {}",
            node(1001),
            node(1002),
            host_ip(pod)
        ),
    )
}

/// Parameters, in double quotes and escaped, as the operator sends them.
pub fn parameters(pod: &Pod, params: &str) -> Call {
    let more = format!(
        "cluster_custins_info='' cust_ins_id='1000' ins_id='1001' params=\"{}\"",
        params.replace('\\', "\\\\").replace('"', "\\\"")
    );
    Call::operator("update_conf", "update", &format!("{} {more}", host_ip(pod)))
}

pub fn disk_full(pod: &Pod, lock: bool) -> Call {
    let action = if lock { "lock_ins_diskfull" } else { "unlock_ins_diskfull" };
    Call::operator("lock_ins", action, &host_ip(pod))
}

/// The same, as ClusterManager sends it.
pub fn cm_disk_full(pod: &Pod, lock: bool) -> Call {
    let action = if lock { "lock_ins_diskfull" } else { "unlock_ins_diskfull" };
    let hosts = format!("[{{\\\"access_port\\\":[{}]}}]", pod.port.number());
    Call::cluster_manager(&format!(
        "srv_opr_action={action} srv_opr_type=lock_ins srv_opr_hosts=\"{hosts}\" srv_opr_host_ip=\"{{}}\" python \
         /docker_script/entry_point.py"
    ))
}

/// The same by the script of its own.
pub fn cm_node_disk_full(pod: &Pod, lock: bool) -> Call {
    let action = if lock { "lock-ins-diskfull" } else { "unlock-ins-diskfull" };
    Call::cluster_manager(&format!(
        "srv_opr_type=node srv_opr_action={action} port={} /docker_script/entry_point_cm.py",
        pod.port.number()
    ))
}

/// ClusterManager's stop.
pub fn cm_stop(mode: &str) -> Call {
    Call::cluster_manager(&format!(
        "srv_opr_action=lock_stop_instance shutdown_mode={mode} python /docker_script/entry_point.py"
    ))
}

/// ClusterManager's start.
pub fn cm_start() -> Call {
    Call::cluster_manager("srv_opr_action=unlock_start_instance python /docker_script/entry_point.py")
}

/// What the kubelet calls in the engine before its end.
pub fn pre_stop() -> Call {
    let line = "srv_opr_type=hostins_ops srv_opr_action=process_cleanup /docker_script/entry_point.py";
    Call::of(Image::Engine, &["/bin/sh", "-c", line])
}
