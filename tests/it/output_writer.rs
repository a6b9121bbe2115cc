//! The writer of log files, as a process: what goes into a pipe is in the files, in whole lines, or counted.

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};

use crate::common::{Frozen, SOON, SUPERVISOR, TestDir, until};

/// More than the writer keeps in memory for one file, and a pipe holds.
const MUCH: usize = 8 << 20;

/// A writer, and what it has told.
struct Desk {
    child: Child,
    socket: Option<OwnedFd>,
    news: Vec<Value>,
    dir: TestDir,
    pipes: u64,
}

impl Desk {
    fn new() -> Self {
        Self::with(TestDir::new(), "")
    }

    /// After a line of shell in a mount namespace of its own; `$DIR` is the test's folder.
    fn with(dir: TestDir, setup: &str) -> Self {
        let (child, socket) = start(&dir, setup);
        Desk { child, socket: Some(socket), news: Vec::new(), dir, pipes: 0 }
    }

    fn send(&self, order: &Value, end: Option<BorrowedFd<'_>>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let ends: Vec<_> = end.into_iter().collect();
        if !ends.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&ends)));
        }
        let packet = serde_json::to_vec(order).unwrap();
        let socket = self.socket.as_ref().unwrap();
        sendmsg(socket, &[IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    }

    /// A pipe into this file: the end to write to, and the one that the writer got too.
    fn pipe(&mut self, file: &str, size: u64, keep: u32) -> (File, OwnedFd) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&read, true).unwrap();
        self.give(&read, file, size, keep);
        (File::from(write), read)
    }

    fn give(&mut self, read: &OwnedFd, file: &str, size: u64, keep: u32) {
        self.pipes += 1;
        let to = json!({"file": self.dir.path(file), "size": size, "keep": keep});
        self.send(&json!({"pipe": {"pipe": self.pipes, "to": to}}), Some(read.as_fd()));
    }

    fn hear(&mut self) {
        let mut packet = [0; 65536];
        loop {
            let mut parts = [IoSliceMut::new(&mut packet)];
            let mut none = RecvAncillaryBuffer::default();
            let socket = self.socket.as_ref().unwrap();
            match recvmsg(socket, &mut parts, &mut none, RecvFlags::DONTWAIT) {
                Ok(message) if message.bytes > 0 => {
                    self.news.push(serde_json::from_slice(&packet[..message.bytes]).unwrap());
                }
                _ => return,
            }
        }
    }

    /// Waits until a piece of news of this kind holds this text; the texts of all of its kind.
    fn hears(&mut self, kind: &str, text: &str) -> Vec<String> {
        until(&format!("{kind}: {text}"), SOON, || {
            self.hear();
            self.of_kind(kind).iter().any(|said| said.contains(text))
        });
        self.of_kind(kind)
    }

    fn of_kind(&self, kind: &str) -> Vec<String> {
        self.news.iter().filter_map(|news| Some(news.get(kind)?.to_string())).collect()
    }

    fn dropped(&mut self) -> u64 {
        self.hear();
        self.news.iter().filter_map(|news| news.get("dropped")?.get("lines")?.as_u64()).sum()
    }

    /// Closes the socket, as PID 1 does at its end, and waits for the writer's.
    fn end(&mut self) {
        self.socket = None;
        until("the end of the writer", SOON, || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success());
    }

    /// A path as the writer sees it.
    fn inside(&self, relative: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(self.dir.path(relative).strip_prefix("/").unwrap())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start(dir: &TestDir, setup: &str) -> (Child, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let mut command = Command::new("unshare");
    let script = format!("{setup}\nexec {SUPERVISOR} writer");
    command.args(["-m", "sh", "-ec", &script]).env("DIR", dir.path("")).stdin(Stdio::from(theirs));
    (command.spawn().unwrap(), ours)
}

/// `line 1` to `line COUNT`.
fn numbered(range: std::ops::RangeInclusive<usize>) -> String {
    range.map(|number| format!("line {number} {}\n", "x".repeat(number % 90))).collect()
}

/// What the file and its predecessors hold, the oldest first.
fn files(file: &Path) -> Vec<String> {
    let name = |number: u32| match number {
        0 => file.to_owned(),
        _ => PathBuf::from(format!("{}.{number}", file.display())),
    };
    let count = (0..).take_while(|&number| name(number).exists()).count();
    (0..count).rev().map(|number| fs::read_to_string(name(u32::try_from(number).unwrap())).unwrap()).collect()
}

/// Lines that are there, and lines that the file itself says are not.
fn kept_and_dropped(text: &str) -> (u64, u64) {
    let (mut kept, mut dropped) = (0, 0);
    for line in text.lines() {
        match line
            .strip_prefix("polar-supervisor: ")
            .and_then(|rest| rest.split_once(" lines were dropped here"))
        {
            Some((count, _)) => dropped += count.parse::<u64>().unwrap(),
            None => kept += 1,
        }
    }
    (kept, dropped)
}

#[test]
fn over_many_full_files_no_line_is_lost_or_doubled_or_cut() {
    let mut desk = Desk::new();
    let (mut pipe, _) = desk.pipe("logs/new/f", 100_000, 100);
    let text = numbered(1..=60_000);
    pipe.write_all(text.as_bytes()).unwrap();
    drop(pipe);
    let closed = desk.hears("closed", "line 60000");
    assert!(closed[0].contains("line 59990 "), "{closed:?}");
    desk.end();
    let files = files(&desk.dir.path("logs/new/f"));
    assert!(files.len() > 20, "{}", files.len());
    assert!(files.iter().all(|file| file.len() <= 100_000 && file.ends_with('\n')));
    assert!(files[..files.len() - 1].iter().all(|file| file.len() > 99_000), "files are filled");
    assert_eq!(files.concat(), text);
}

#[test]
fn any_bytes_lines_of_any_length_and_no_final_newline() {
    let mut desk = Desk::new();
    let (mut pipe, _) = desk.pipe("log/f", 10 << 20, 1);
    let content =
        [&b"\xff\xfe\0\n"[..], &vec![b'x'; 700_000], b"\n\n", &vec![b'y'; 300_000], b"no end"].concat();
    pipe.write_all(&content).unwrap();
    drop(pipe);
    desk.hears("closed", "no end");
    desk.end();
    assert!(fs::read(desk.dir.path("log/f")).unwrap() == [&content[..], b"\n"].concat());
}

#[test]
fn lines_of_several_pipes_and_orders_do_not_mix() {
    let mut desk = Desk::new();
    let writers: Vec<_> = ["aaaa", "bbbb", "cccc"]
        .into_iter()
        .map(|text| {
            let (mut pipe, _) = desk.pipe("log/f", 50_000, 100);
            std::thread::spawn(move || {
                for _ in 0..5000 {
                    // In two halves.
                    pipe.write_all(text.as_bytes()).unwrap();
                    pipe.write_all(format!("{text}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    let to = json!({"file": desk.dir.path("log/f"), "size": 50_000, "keep": 100});
    for _ in 0..100 {
        desk.send(&json!({"append": {"to": to, "line": "dddddddd\n"}}), None);
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    until("all pipes to be closed", SOON, || {
        desk.hear();
        desk.of_kind("closed").len() == 3
    });
    desk.end();
    let text = files(&desk.dir.path("log/f")).concat();
    for (wanted, count) in [("aaaaaaaa", 5000), ("bbbbbbbb", 5000), ("cccccccc", 5000), ("dddddddd", 100)] {
        assert_eq!(text.lines().filter(|line| *line == wanted).count(), count, "{wanted}");
    }
    assert_eq!(text.lines().count(), 15_100);
}

#[test]
fn a_planted_link_is_not_written_through_and_holds_nobody_up() {
    let mut desk = Desk::new();
    let precious = desk.dir.file("log/precious", "precious", 0o600);
    let file = desk.dir.path("log/f");
    std::os::unix::fs::symlink("precious", &file).unwrap();
    let (mut pipe, _) = desk.pipe("log/f", 100 << 20, 1);
    let lines = numbered(1..=MUCH / 50);
    pipe.write_all(lines.as_bytes()).unwrap();
    let said = desk.hears("trouble", "it is a link");
    assert!(said[0].contains("log/f"), "{said:?}");
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    until("dropped lines to be told", SOON, || desk.dropped() > 0);
    fs::remove_file(&file).unwrap();
    desk.hears("over", "log/f again");
    pipe.write_all(b"after\n").unwrap();
    drop(pipe);
    desk.hears("closed", "after");
    let told = desk.dropped();
    desk.end();
    let text = fs::read_to_string(file).unwrap();
    let (kept, dropped) = kept_and_dropped(&text);
    assert_eq!(kept + dropped, u64::try_from(lines.lines().count()).unwrap() + 1);
    assert!(dropped == told && dropped > 0 && kept > 1000, "{kept} {dropped} {told}");
    assert!(text.ends_with("after\n"), "the end of what was written");
}

#[test]
fn a_folder_behind_another_users_link_is_not_entered() {
    let mut desk = Desk::new();
    desk.dir.folder("elsewhere");
    let link = desk.dir.path("log/sub");
    std::os::unix::fs::symlink("../elsewhere", &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
    let (mut pipe, _) = desk.pipe("log/sub/f", 1000, 1);
    pipe.write_all(b"x\n").unwrap();
    desk.hears("trouble", "log/sub is a link of user 12345, which is not followed");
    assert_eq!(fs::read_dir(desk.dir.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_takes_no_line_twice_and_what_it_lacks_is_counted() {
    let dir = TestDir::new();
    dir.folder("disk");
    let mut desk =
        Desk::with(dir, "mount -t tmpfs -o size=1m disk \"$DIR/disk\"; echo x > \"$DIR/disk/ready\"");
    until("the disk", SOON, || desk.inside("disk/ready").exists());
    fs::write(desk.inside("disk/filler"), vec![0; 600_000]).unwrap();
    let (mut pipe, _) = desk.pipe("disk/f", 800_000, 0);
    let lines = numbered(1..=MUCH / 50);
    pipe.write_all(lines.as_bytes()).unwrap();
    desk.hears("trouble", "No space left on device");
    until("dropped lines to be told", SOON, || desk.dropped() > 0);
    fs::remove_file(desk.inside("disk/filler")).unwrap();
    desk.hears("over", "disk/f again");
    pipe.write_all(b"after\n").unwrap();
    drop(pipe);
    desk.hears("closed", "after");
    until("the last line", SOON, || {
        fs::read_to_string(desk.inside("disk/f")).unwrap_or_default().ends_with("after\n")
    });
    let text = fs::read_to_string(desk.inside("disk/f")).unwrap();
    let (_, dropped) = kept_and_dropped(&text);
    assert_eq!(dropped, desk.dropped());
    let mut numbers =
        text.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse::<u64>().ok());
    let mut last = numbers.next().unwrap();
    for number in numbers {
        assert!(number > last, "{number} behind {last}");
        last = number;
    }
    desk.end();
}

#[test]
fn a_disk_that_hangs_holds_no_program_up() {
    let dir = TestDir::new();
    dir.folder("disk");
    let setup = "truncate -s 64M \"$DIR/image\"; mkfs.ext4 -q -F \"$DIR/image\"
        mount -o loop \"$DIR/image\" \"$DIR/disk\"; echo x > \"$DIR/disk/ready\"";
    let mut desk = Desk::with(dir, setup);
    until("the disk", SOON, || desk.inside("disk/ready").exists());
    let (mut pipe, _) = desk.pipe("disk/f", 100 << 20, 1);
    pipe.write_all(b"before\n").unwrap();
    until("the first line", SOON, || fs::read(desk.inside("disk/f")).is_ok_and(|text| !text.is_empty()));
    let frozen = Frozen::of(&desk.inside("disk"));
    let lines = numbered(1..=2 * MUCH / 50);
    // It comes back, whatever the disk does.
    pipe.write_all(lines.as_bytes()).unwrap();
    until("dropped lines to be told", SOON, || desk.dropped() > 0);
    // Orders are heard too.
    let to = json!({"file": desk.dir.path("log/other"), "size": 1000, "keep": 1});
    desk.send(&json!({"append": {"to": to, "line": "an event\n"}}), None);
    drop(frozen);
    pipe.write_all(b"after\n").unwrap();
    drop(pipe);
    desk.hears("closed", "after");
    let wanted = u64::try_from(lines.lines().count()).unwrap() + 2;
    let told = desk.dropped();
    until("all lines", SOON, || {
        let text = fs::read_to_string(desk.inside("disk/f")).unwrap();
        let (kept, dropped) = kept_and_dropped(&text);
        text.ends_with("after\n") && kept + dropped == wanted && dropped == told
    });
    until("the event", SOON, || fs::read(desk.dir.path("log/other")).is_ok_and(|text| text == b"an event\n"));
    desk.end();
}

#[test]
fn killed_under_load_another_one_goes_on_where_it_was() {
    let mut desk = Desk::new();
    let (mut pipe, read) = desk.pipe("log/f", 1 << 20, 1000);
    let load = std::thread::spawn(move || pipe.write_all(numbered(1..=400_000).as_bytes()));
    until("a full file", SOON, || desk.dir.path("log/f.2").exists());
    desk.child.kill().unwrap();
    desk.child.wait().unwrap();
    let (child, socket) = start(&desk.dir, "");
    (desk.child, desk.socket) = (child, Some(socket));
    desk.give(&read, "log/f", 1 << 20, 1000);
    drop(read);
    load.join().unwrap().unwrap();
    desk.hears("closed", "line 400000 ");
    desk.end();
    let text = files(&desk.dir.path("log/f")).concat();
    let numbers: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("line ")?.split_once(' ')?.0.parse().ok()).collect();
    // A number that was torn may have lost digits.
    let odd = numbers.windows(2).filter(|pair| pair[1] <= pair[0]).count();
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(odd <= 1 && gaps <= 2, "{odd} {gaps}");
    assert_eq!(numbers.last(), Some(&400_000));
    // A few MiB of lines of about 55 bytes.
    assert!(numbers.len() > 300_000, "{}", numbers.len());
}

#[test]
fn moved_files_are_opened_again_when_asked() {
    let mut desk = Desk::new();
    let file = desk.dir.path("log/f");
    let (mut pipe, _) = desk.pipe("log/f", 1000, 1);
    pipe.write_all(b"one\n").unwrap();
    until("a line", SOON, || fs::read(&file).is_ok_and(|text| text == b"one\n"));
    fs::rename(&file, desk.dir.path("log/moved")).unwrap();
    pipe.write_all(b"two\n").unwrap();
    until("a line", SOON, || fs::read(desk.dir.path("log/moved")).is_ok_and(|text| text == b"one\ntwo\n"));
    desk.send(&json!("reopen"), None);
    until("the file", SOON, || file.exists());
    pipe.write_all(b"three\n").unwrap();
    until("a line", SOON, || fs::read(&file).is_ok_and(|text| text == b"three\n"));
    desk.end();
}

#[test]
fn what_is_in_the_pipes_when_the_socket_closes_is_written() {
    let mut desk = Desk::new();
    let (mut pipe, _) = desk.pipe("log/f", 10 << 20, 1);
    let text = numbered(1..=1000);
    pipe.write_all(text.as_bytes()).unwrap();
    desk.end();
    assert_eq!(fs::read_to_string(desk.dir.path("log/f")).unwrap(), text);
    drop(pipe);
}

#[test]
fn with_nothing_to_do_it_says_so() {
    let mut desk = Desk::new();
    let to = json!({"file": desk.dir.path("log/events"), "size": 1000, "keep": 1});
    desk.send(&json!({"append": {"to": to, "line": "an event\n"}}), None);
    desk.hears("idle", "\"orders\":1");
    desk.end();
    assert_eq!(fs::read_to_string(desk.dir.path("log/events")).unwrap(), "an event\n");
}
