//! Who is connected: a bounded number, of whom the longest idle one makes room.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

/// So many clients at once.
pub(super) const CLIENTS: usize = 64;
/// So many of them may follow something, so that there is always room for who asks and goes.
pub(super) const FOLLOWERS: usize = 32;

/// The clients that are connected.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: BTreeMap<u64, Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    doing: Doing,
    hang_up: Rc<Notify>,
}

/// What a client is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It has sent no whole request since then.
    Idle(Instant),
    /// It is being answered.
    Asking,
    /// It follows something.
    Following,
}

impl Clients {
    /// Takes in one more, in the place of the longest idle one where there is none left; its number, and what tells it to
    /// go. `None`: nobody can be sent away.
    pub(super) fn admit(&mut self, now: Instant) -> Option<(u64, Rc<Notify>)> {
        if self.known.len() >= CLIENTS && !self.make_room() {
            return None;
        }
        self.last += 1;
        let hang_up = Rc::new(Notify::new());
        self.known.insert(self.last, Client { doing: Doing::Idle(now), hang_up: Rc::clone(&hang_up) });
        Some((self.last, hang_up))
    }

    /// Sends the longest idle one away; `false`: there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let idle = self.known.iter().filter_map(|(number, client)| match client.doing {
            Doing::Idle(since) => Some((since, *number)),
            Doing::Asking | Doing::Following => None,
        });
        let Some((_, number)) = idle.min() else { return false };
        if let Some(client) = self.known.remove(&number) {
            client.hang_up.notify_one();
        }
        true
    }

    /// What it does from here on; `false`: it was sent away, or too many follow something.
    pub(super) fn does(&mut self, number: u64, doing: Doing) -> bool {
        let following = |client: &Client| client.doing == Doing::Following;
        if doing == Doing::Following
            && self.known.values().filter(|client| following(client)).count() >= FOLLOWERS
        {
            return false;
        }
        match self.known.get_mut(&number) {
            Some(client) => {
                client.doing = doing;
                true
            }
            None => false,
        }
    }

    /// It has gone.
    pub(super) fn gone(&mut self, number: u64) {
        self.known.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn full(now: Instant) -> (Clients, Vec<(u64, Rc<Notify>)>) {
        let mut clients = Clients::default();
        let admitted = (0..CLIENTS)
            .map(|place| clients.admit(now + Duration::from_millis(place as u64)).expect("room"))
            .collect();
        (clients, admitted)
    }

    #[test]
    fn the_longest_idle_one_makes_room() {
        let now = Instant::now();
        let (mut clients, admitted) = full(now);
        let (first, second) = (admitted[0].0, admitted[1].0);
        assert!(clients.does(first, Doing::Asking));
        clients.admit(now + Duration::from_secs(1)).expect("room of an idle one");
        assert!(clients.does(first, Doing::Idle(now + Duration::from_secs(2))), "it was busy");
        assert!(!clients.does(second, Doing::Asking), "it was the longest idle one");
        assert_eq!(clients.known.len(), CLIENTS);
    }

    #[test]
    fn nobody_who_is_being_answered_or_follows_is_sent_away() {
        let (mut clients, admitted) = full(Instant::now());
        for (place, (number, _)) in admitted.iter().enumerate() {
            let doing = if place < FOLLOWERS { Doing::Following } else { Doing::Asking };
            assert!(clients.does(*number, doing));
        }
        assert!(clients.admit(Instant::now()).is_none());
        clients.gone(admitted[5].0);
        assert!(clients.admit(Instant::now()).is_some());
    }

    #[test]
    fn followers_leave_room_for_others() {
        let (mut clients, admitted) = full(Instant::now());
        let follow = admitted.iter().filter(|(number, _)| clients.does(*number, Doing::Following)).count();
        assert_eq!(follow, FOLLOWERS);
        assert!(clients.admit(Instant::now()).is_some());
    }
}
