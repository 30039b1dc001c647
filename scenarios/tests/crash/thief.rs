//! Somebody who takes the lane's lease away, again and again, past the rule by which leases change
//! hands: in the shared ledger, under a token above the holder's, for a moment. Whoever held it
//! must be stopped by the fence alone and leave no trace, and the lane must still come forward
//! between two thefts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::database::Session;

/// Says whether the lease was taken from somebody who held it; `-` before there is a lane.
/// It is held for a moment only: the engine has to take it back, not to wait for it.
const STEAL: &str = "\
    with seen as (select name, owner <> 'thief' and \
      until_ms > extract(epoch from clock_timestamp()) * 1000 as held \
      from leases where name like 'lane %' for update), \
    stolen as (update leases l set owner = 'thief', token = l.token + 1, \
      until_ms = floor(extract(epoch from clock_timestamp()) * 1000)::bigint + 20 \
      from seen where l.name = seen.name returning seen.held) \
    select coalesce(bool_or(held)::text, '-') from stolen;";

/// What was stolen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thefts {
    /// Of a replica that held the lease at that moment.
    pub(crate) from_holders: usize,
    /// Of a lease that had run out already.
    pub(crate) of_nobody: usize,
}

/// A thread that steals until it is told to stop.
pub(crate) struct Thief {
    told: Arc<AtomicBool>,
    work: JoinHandle<Thefts>,
}

impl Thief {
    /// Steals once every so often, over a session that `open` makes; a new one whenever the
    /// database was away.
    pub(crate) fn start(
        every: Duration,
        open: impl Fn() -> Option<Session> + Send + 'static,
    ) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&told);
        let work = std::thread::spawn(move || {
            let (mut thefts, mut session) = (Thefts::default(), None);
            while !stop.load(Ordering::SeqCst) {
                let began = Instant::now();
                if session.is_none() {
                    session = open();
                }
                match session.as_mut().and_then(|open| open.line(STEAL)).as_deref() {
                    Some("true") => thefts.from_holders += 1,
                    Some(_) => thefts.of_nobody += 1,
                    None => session = None,
                }
                std::thread::sleep(every.saturating_sub(began.elapsed()));
            }
            thefts
        });
        Self { told, work }
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Thefts {
        self.told.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}
