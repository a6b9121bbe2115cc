//! Users and groups from `/etc/passwd` and `/etc/group`.
//!
//! Read by ourselves: a static glibc must not touch NSS (a missing user crashes it where nsswitch.conf names modules).

use crate::config;
use crate::supervisor::prepare::protocol::User;

/// Why there is no such user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoUser {
    /// The name is not in the passwd file.
    #[error(
        "there is no user {0} in /etc/passwd; make it in the image (useradd {0}) or name another one with the key user"
    )]
    Unknown(String),
    /// An engine never runs as root.
    #[error(
        "user {0} is root (uid 0), and an engine never runs as root; name another user with the key user"
    )]
    Root(String),
    /// A group that is not in the group file.
    #[error(
        "there is no group {0} in /etc/group; make it in the image (groupadd {0}) or leave it out of the key groups"
    )]
    Group(String),
}

/// The texts of the two files; a missing one is empty.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`.
    pub(crate) fn read() -> Self {
        let text = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Accounts {
            passwd: text("/etc/passwd").unwrap_or_default(),
            group: text("/etc/group").unwrap_or_default(),
        }
    }

    /// The user that root drops to for an engine, by name or by number; a number needs no entry.
    pub(crate) fn engine(&self, name: &str, groups: &[String]) -> Result<User, NoUser> {
        match self.named(name, groups)? {
            User { uid: 0, .. } => Err(NoUser::Root(name.into())),
            user => Ok(user),
        }
    }

    /// The user of this name or number, with the groups that list it and those that it is given.
    pub(crate) fn named(&self, name: &str, groups: &[String]) -> Result<User, NoUser> {
        let number = name.parse::<u32>().ok();
        let mut user = match (self.users().find(|user| user.name.as_deref() == Some(name)), number) {
            (Some(user), _) => user,
            (None, Some(uid)) => self.current(uid, uid),
            (None, None) => return Err(NoUser::Unknown(name.into())),
        };
        user.groups.push(user.gid);
        if let Some(name) = user.name.as_deref() {
            let listed =
                self.groups().filter(|(_, _, members)| members.split(',').any(|member| member == name));
            user.groups.extend(listed.map(|(_, id, _)| id));
        }
        self.with_groups(user, groups)
    }

    /// The same user in further groups, by name or by number.
    pub(crate) fn with_groups(&self, mut user: User, groups: &[String]) -> Result<User, NoUser> {
        for wanted in groups {
            let named = self.groups().find(|(group, ..)| group == wanted).map(|(_, id, _)| id);
            user.groups
                .push(named.or_else(|| wanted.parse().ok()).ok_or_else(|| NoUser::Group(wanted.clone()))?);
        }
        user.groups.sort_unstable();
        user.groups.dedup();
        Ok(user)
    }

    /// Who a program runs as, and whether PID 1 must become that user for it.
    pub(crate) fn of(&self, program: &config::Program) -> Result<(User, bool), NoUser> {
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let process = &program.process;
        if !nix::unistd::geteuid().is_root() {
            // What the process has it keeps, whatever the passwd file says of its group.
            return Ok((User { gid, ..self.current(uid, gid) }, false));
        }
        if program.kind.engine().is_some() {
            let name = process.user.as_deref().unwrap_or("postgres");
            return self.engine(name, &process.groups).map(|user| (user, true));
        }
        let own = || {
            let groups = nix::unistd::getgroups().unwrap_or_default();
            let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
            User { gid, groups, ..self.current(uid, gid) }
        };
        match process.user.as_deref() {
            None if process.groups.is_empty() => Ok((own(), false)),
            None => self.with_groups(own(), &process.groups).map(|user| (user, true)),
            Some(name) => self.named(name, &process.groups).map(|user| (user, true)),
        }
    }

    /// The user with this id; it may have no entry, and then has this group.
    pub(crate) fn current(&self, uid: u32, gid: u32) -> User {
        let entry = self.users().find(|user| user.uid == uid);
        entry.unwrap_or(User { name: None, uid, gid, groups: Vec::new(), home: "/".into() })
    }

    fn users(&self) -> impl Iterator<Item = User> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            Some(User { name: Some((*name).into()), uid, gid, groups: Vec::new(), home: (*home).into() })
        })
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.splitn(4, ':');
            let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
            Some((name, id, fields.next().unwrap_or_default()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd:
                "root:x:0:0:root:/root:/bin/sh\nbroken\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n"
                    .into(),
            group:
                "disk:x:6:\nbroken:x\npostgres:x:104:\nssl-cert:x:103:other,postgres\nnot:x:105:postgres2\n"
                    .into(),
        }
    }

    #[test]
    fn a_user_has_the_groups_that_list_it_and_those_it_is_given() {
        let user = accounts().named("postgres", &["disk".into()]);
        assert_eq!(
            user,
            Ok(User {
                name: Some("postgres".into()),
                uid: 101,
                gid: 104,
                groups: vec![6, 103, 104],
                home: "/var/lib/postgresql".into()
            })
        );
    }

    #[test]
    fn what_does_not_exist_is_named() {
        assert_eq!(accounts().named("polar", &[]), Err(NoUser::Unknown("polar".into())));
        assert_eq!(accounts().engine("root", &[]), Err(NoUser::Root("root".into())));
        assert_eq!(accounts().engine("0", &[]), Err(NoUser::Root("0".into())));
        assert_eq!(accounts().named("postgres", &["wheel".into()]), Err(NoUser::Group("wheel".into())));
    }

    #[test]
    fn what_is_no_engine_may_run_as_root() {
        let root = accounts().named("root", &["disk".into()]).unwrap();
        assert_eq!((root.uid, root.groups, root.home.as_str()), (0, vec![0, 6], "/root"));
        let own = User { groups: vec![0, 4], ..accounts().current(0, 0) };
        assert_eq!(accounts().with_groups(own, &["disk".into()]).map(|user| user.groups), Ok(vec![0, 4, 6]));
    }

    #[test]
    fn an_arbitrary_uid_needs_no_entry() {
        let user = accounts().current(12345, 0);
        assert_eq!((user.name, user.home.as_str()), (None, "/"));
        assert_eq!(accounts().current(101, 104).name.as_deref(), Some("postgres"));
        let dropped = accounts().named("12345", &["7".into()]);
        assert_eq!(
            dropped.map(|user| (user.name, user.uid, user.gid, user.groups)),
            Ok((None, 12345, 12345, vec![7, 12345]))
        );
    }
}
