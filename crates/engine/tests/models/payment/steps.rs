//! What each actor can do in a state, and what it does: one function an action.

use super::{
    Action, Actor, Authorization, CRASHES, INSTANCES, REVERTS, Row, Rules, Sent, Stage, State,
    Step, TAKEOVERS,
};

impl State {
    pub(super) fn moved(&self) -> bool {
        self.authorization == Authorization::Transferred
    }

    pub(super) fn actions_of_request(&self, request: usize, actions: &mut Vec<Action>) {
        let me = Actor::Request(request);
        match self.requests[request] {
            Step::Idle => actions.push(Action::Reserve(request)),
            Step::Holds(_) => actions.push(Action::RunHandler(request)),
            Step::HandlerRan(_) => actions.push(Action::Record(request)),
            Step::MaySend(_) => {
                let ends = [Sent::Acknowledged, Sent::AnswerLost, Sent::Nowhere];
                actions.extend(ends.map(|end| Action::Send(me, end)));
            }
            Step::Watching(_) => {
                actions.extend([Action::Look(me), Action::GiveUpLooking(request)]);
            }
            Step::SawPaid(_) => actions.push(Action::RecordPaid(me)),
            Step::SawDead(_) => actions.push(Action::RecordNotCharged(me)),
            Step::Granted => actions.push(Action::Answer(request)),
            Step::Lost => actions.push(Action::AskAgain(request)),
            Step::Answered | Step::Refused => {}
        }
        if self.crashes < CRASHES && self.requests[request].is_under_way() {
            actions.push(Action::Crash(request % INSTANCES));
        }
    }

    pub(super) fn actions_of_worker(&self, worker: usize, actions: &mut Vec<Action>) {
        let Some(row) = self.row else { return };
        let me = Actor::Worker(worker);
        match self.workers[worker] {
            // That the lease has run out is never certain: the old holder may live on as a zombie.
            Step::Idle if !row.has_ended() && row.token < TAKEOVERS => {
                actions.push(Action::TakeOver(worker));
            }
            Step::Holds(_) => actions.push(Action::Resume(worker)),
            Step::MaySend(_) => {
                actions.extend([Sent::Acknowledged, Sent::Nowhere].map(|e| Action::Send(me, e)));
            }
            Step::Watching(_) => actions.push(Action::Look(me)),
            Step::SawPaid(_) => actions.push(Action::RecordPaid(me)),
            Step::SawDead(_) => actions.push(Action::RecordNotCharged(me)),
            _ => {}
        }
    }

    pub(super) fn actions_of_the_world(&self, actions: &mut Vec<Action>) {
        if self.in_pool {
            actions.push(Action::Mine);
        }
        if self.authorization == Authorization::Unused {
            if !self.expired {
                actions.extend([Action::FrontRun, Action::Expire]);
            }
            actions.push(Action::Cancel);
        }
    }

    fn step(&self, actor: Actor) -> Step {
        match actor {
            Actor::Request(request) => self.requests[request],
            Actor::Worker(worker) => self.workers[worker],
        }
    }

    fn goes_to(&mut self, actor: Actor, step: Step) {
        match actor {
            Actor::Request(request) => self.requests[request] = step,
            Actor::Worker(worker) => self.workers[worker] = step,
        }
    }
}

impl Rules {
    /// `None`: the action changes nothing here.
    pub(super) fn act(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Reserve(request) => self.reserve(state, request),
            Action::RunHandler(request) => run_handler(state, request)?,
            Action::Record(request) => self.record(state, request)?,
            Action::Send(actor, end) => self.send(state, actor, end)?,
            Action::Look(actor) => look(state, actor)?,
            Action::GiveUpLooking(request) => self.give_up_looking(state, request)?,
            Action::RecordPaid(actor) => self.record_paid(state, actor)?,
            Action::RecordNotCharged(actor) => self.record_not_charged(state, actor)?,
            Action::Answer(request) => answer(state, request),
            Action::AskAgain(request) => self.ask_again(state, request)?,
            Action::Crash(instance) => crash(state, instance),
            Action::TakeOver(worker) => take_over(state, worker)?,
            Action::Resume(worker) => self.resume(state, worker)?,
            Action::Mine => mine(state)?,
            Action::Cancel => state.authorization = Authorization::Cancelled,
            Action::FrontRun => state.authorization = Authorization::Transferred,
            Action::Expire => state.expired = true,
        }
        Some(())
    }

    /// Every write after the reservation. `false`: the writer is a zombie and changed nothing.
    fn write(self, state: &mut State, token: u8, change: impl Fn(&mut Row)) -> bool {
        match &mut state.row {
            Some(row) if self.fencing && (row.token != token || row.has_ended()) => false,
            Some(row) => {
                change(row);
                true
            }
            None => false,
        }
    }

    fn reserve(self, state: &mut State, request: usize) {
        if state.row.is_some() && self.unique_reservation {
            state.requests[request] = Step::Lost;
            return;
        }
        state.row = Some(Row {
            stage: Stage::Reserved,
            token: 0,
            granted_to: None,
            bytes_stored: false,
            watched_only: false,
        });
        state.requests[request] = Step::Holds(0);
    }

    fn record(self, state: &mut State, request: usize) -> Option<()> {
        let Step::HandlerRan(token) = state.requests[request] else { return None };
        let may_send = !self.record_before_send
            || self.write(state, token, |row| {
                if row.stage == Stage::Reserved {
                    row.stage = Stage::Signed;
                }
                row.bytes_stored = true;
            });
        state.requests[request] = if may_send { Step::MaySend(token) } else { Step::Lost };
        Some(())
    }

    fn send(self, state: &mut State, actor: Actor, end: Sent) -> Option<()> {
        let Step::MaySend(token) = state.step(actor) else { return None };
        if end != Sent::Nowhere {
            state.sent_unrecorded |= !state.row.is_some_and(|row| row.bytes_stored);
            state.in_pool |= state.authorization == Authorization::Unused;
        }
        let taken_for_failure = end != Sent::Acknowledged && !self.only_proof_is_failure;
        let next = if taken_for_failure { Step::SawDead(token) } else { Step::Watching(token) };
        state.goes_to(actor, next);
        Some(())
    }

    /// The design goes on looking.
    fn give_up_looking(self, state: &mut State, request: usize) -> Option<()> {
        let Step::Watching(token) = state.requests[request] else { return None };
        if self.only_proof_is_failure {
            return None;
        }
        state.requests[request] = Step::SawDead(token);
        Some(())
    }

    fn record_paid(self, state: &mut State, actor: Actor) -> Option<()> {
        let Step::SawPaid(token) = state.step(actor) else { return None };
        let known = state.row.is_some_and(|row| row.stage == Stage::Paid);
        let stored = known || self.write(state, token, |row| row.stage = Stage::Paid);
        match actor {
            Actor::Worker(_) => state.goes_to(actor, Step::Idle),
            Actor::Request(request) if stored => self.grant(state, request)?,
            Actor::Request(_) => state.goes_to(actor, Step::Lost),
        }
        Some(())
    }

    fn record_not_charged(self, state: &mut State, actor: Actor) -> Option<()> {
        let Step::SawDead(token) = state.step(actor) else { return None };
        let stored = self.write(state, token, |row| row.stage = Stage::NotCharged);
        let next = match actor {
            Actor::Worker(_) => Step::Idle,
            Actor::Request(_) if stored => Step::Refused,
            Actor::Request(_) => Step::Lost,
        };
        state.goes_to(actor, next);
        Some(())
    }

    fn grant(self, state: &mut State, request: usize) -> Option<()> {
        let row = state.row.as_mut()?;
        state.requests[request] = if row.stage != Stage::Paid {
            Step::Lost
        } else if row.granted_to.is_none() || !self.grant_once {
            row.granted_to = Some(request);
            Step::Granted
        } else {
            Step::Refused
        };
        Some(())
    }

    /// The buyer comes back with the same payload.
    fn ask_again(self, state: &mut State, request: usize) -> Option<()> {
        match state.row?.stage {
            Stage::Paid => self.grant(state, request)?,
            Stage::NotCharged => state.requests[request] = Step::Refused,
            Stage::Reserved | Stage::Signed => return None,
        }
        Some(())
    }

    /// A worker goes on with a row it took over.
    fn resume(self, state: &mut State, worker: usize) -> Option<()> {
        let Step::Holds(token) = state.workers[worker] else { return None };
        let row = state.row?;
        state.workers[worker] = match row.stage {
            _ if self.fencing && row.token != token => Step::Idle,
            // The same bytes again.
            Stage::Signed => Step::MaySend(token),
            Stage::Reserved if self.watch_abandoned => {
                self.write(state, token, |row| row.watched_only = true);
                Step::Watching(token)
            }
            Stage::Reserved => {
                self.write(state, token, |row| row.stage = Stage::NotCharged);
                Step::Idle
            }
            Stage::Paid | Stage::NotCharged => Step::Idle,
        };
        Some(())
    }
}

fn run_handler(state: &mut State, request: usize) -> Option<()> {
    let Step::Holds(token) = state.requests[request] else { return None };
    state.handler_runs += 1;
    state.requests[request] = Step::HandlerRan(token);
    Some(())
}

/// What the chain proves; nothing, while the authorization may still move money.
fn look(state: &mut State, actor: Actor) -> Option<()> {
    let Step::Watching(token) = state.step(actor) else { return None };
    let next = match state.authorization {
        Authorization::Transferred => Step::SawPaid(token),
        Authorization::Cancelled => Step::SawDead(token),
        Authorization::Unused if state.expired => Step::SawDead(token),
        Authorization::Unused => return None,
    };
    state.goes_to(actor, next);
    Some(())
}

fn answer(state: &mut State, request: usize) {
    state.answers += 1;
    state.requests[request] = Step::Answered;
}

fn crash(state: &mut State, instance: usize) {
    state.crashes += 1;
    for (request, step) in state.requests.iter_mut().enumerate() {
        if request % INSTANCES == instance && step.is_under_way() {
            *step = Step::Lost;
        }
    }
    state.workers[instance] = Step::Idle;
}

fn take_over(state: &mut State, worker: usize) -> Option<()> {
    let row = state.row.as_mut()?;
    row.token += 1;
    state.workers[worker] = Step::Holds(row.token);
    Some(())
}

fn mine(state: &mut State) -> Option<()> {
    state.in_pool = false;
    if state.authorization == Authorization::Unused && !state.expired {
        state.authorization = Authorization::Transferred;
        return Some(());
    }
    state.reverts += 1;
    (state.reverts <= REVERTS).then_some(())
}
