//! The loop's timer. Tokio's own counts in milliseconds and rounds up, which made each rung of a stop up to 2 ms late.

use std::cell::Cell;
use std::future::pending;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::fs::Timespec;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// Tells when a moment has come, to the microsecond.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// `None` where no descriptor was left; tokio's timer does it then.
    ///
    /// It is no pipe, but nothing else of a pipe is used than that it is waited for and read.
    timer: Option<Receiver>,
    /// What it is set to.
    at: Cell<Option<Instant>>,
}

impl Alarm {
    /// One that is not set. Within a runtime.
    pub(crate) fn new() -> Self {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        let timer = timer.and_then(|timer| Receiver::from_owned_fd_unchecked(timer).ok());
        Alarm { timer, at: Cell::new(None) }
    }

    /// Returns at that moment; never where there is none.
    pub(crate) async fn until(&self, at: Option<Instant>) {
        let Some(timer) = self.timer.as_ref().filter(|_| self.set(at)) else {
            return match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => pending().await,
            };
        };
        if at.is_none() {
            pending().await
        }
        while timer.readable().await.is_ok() {
            if !timer.try_read(&mut [0; 8]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return self.at.set(None);
            }
        }
    }

    /// Whether the timer stands as it should. An end to which it was set for an earlier wait costs one look more, and
    /// setting it costs a system call: so it is set only where its moment changes.
    fn set(&self, at: Option<Instant>) -> bool {
        let Some(timer) = &self.timer else { return false };
        if self.at.get() == at {
            return true;
        }
        // Nothing at all would turn it off; what is over rings at once.
        let left = at.map(|at| at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1)));
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let Ok(value) = left.map_or(Ok(none), Timespec::try_from) else { return false };
        let done = timerfd_settime(
            timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: none, it_value: value },
        )
        .is_ok();
        if done {
            self.at.set(at);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn it_rings_neither_early_nor_once_more_for_a_moment_that_was_taken_back() {
        in_runtime(async {
            let alarm = Alarm::new();
            let begin = Instant::now();
            let (soon, later) = (begin + Duration::from_millis(5), begin + Duration::from_millis(40));
            tokio::select! {
                biased;
                () = alarm.until(Some(soon)) => panic!("it rang at once"),
                () = tokio::task::yield_now() => {}
            }
            alarm.until(Some(later)).await;
            assert!(Instant::now() >= later);
            alarm.until(Some(begin)).await;
        });
    }

    #[test]
    fn without_a_moment_it_stays_silent() {
        in_runtime(async {
            let alarm = Alarm::new();
            let at = Instant::now() + Duration::from_millis(1);
            tokio::select! {
                biased;
                () = alarm.until(Some(at)) => panic!("it rang at once"),
                () = tokio::task::yield_now() => {}
            }
            tokio::select! {
                biased;
                () = alarm.until(None) => panic!("it rang for nobody"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        });
    }

    #[test]
    fn without_a_descriptor_it_rings_all_the_same() {
        in_runtime(async {
            let alarm = Alarm { timer: None, at: Cell::new(None) };
            let at = Instant::now() + Duration::from_millis(2);
            alarm.until(Some(at)).await;
            assert!(Instant::now() >= at);
        });
    }
}
