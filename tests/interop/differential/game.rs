//! The state of a run, and what brokers do in it: [`registrations`], [`lives`]. `tools.rs` has what
//! operators and clients do.

mod lives;
mod registrations;

use signpost_remoting::{ExtFields, RemotingCommand, request, response};

use super::answer::Answer;
use super::brokers::{Group, kinds};
use super::differences::Difference;
use super::sides::{Sides, Wire};
use signpost_chaos::random::Random;

/// So few brokers may be down at a time that nobody takes it for a cut network.
const DOWN_MAX: usize = 3;

/// A run.
pub(crate) struct Game {
    pub(crate) sides: Sides,
    pub(crate) random: Random,
    pub(crate) groups: Vec<Group>,
    /// What operators and clients use.
    pub(crate) tool: Wire,
    /// The last port given to a broker.
    port: u16,
}

impl Game {
    /// All groups up.
    pub(crate) async fn begin(sides: Sides, mut random: Random) -> Self {
        let mut port = 10_000;
        let groups = kinds().map(|(cluster, name, ids, kind)| {
            Group::new(cluster, name, kind, ids, &mut port, &mut random)
        });
        let groups = groups.into();
        let mut game = Self { sides, random, groups, tool: Wire::new(), port };
        for group in 0..game.groups.len() {
            for at in 0..game.groups[group].members.len() {
                game.start(group, at).await;
            }
        }
        game
    }

    /// A group, and one of its members that is up.
    fn some_up(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .flat_map(|of| self.groups[of].up().into_iter().map(move |at| (of, at)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    fn some_down(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .flat_map(|of| self.groups[of].down().into_iter().map(move |at| (of, at)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    /// A group whose topics somebody can change.
    fn some_contributor(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .filter_map(|of| Some((of, self.groups[of].contributor()?)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    fn down_count(&self) -> usize {
        self.groups.iter().map(|group| group.down().len()).sum()
    }

    /// Sends a request on a member's connection, and compares.
    pub(crate) async fn say(
        &mut self,
        group: usize,
        at: usize,
        request: RemotingCommand,
    ) -> Answer {
        let wire = self.groups[group].members[at].wire.as_ref().expect("it is up");
        self.sides.ask(wire, request).await
    }

    /// Registers all that a member has, and expects it to be taken.
    async fn register(&mut self, group: usize, at: usize) {
        if self.groups[group].contributor() == Some(at)
            && self.groups[group].members[at].stored != self.groups[group].data_version
        {
            self.groups[group].settle_touched();
        }
        let request = self.groups[group].registration(at);
        let answer = self.say(group, at, request).await;
        self.sides.check(answer.code == response::SUCCESS, || format!("refused: {answer:?}"));
        self.registered(group, at);
    }

    fn registered(&mut self, group: usize, at: usize) {
        self.groups[group].members[at].stored = self.groups[group].data_version;
    }

    /// The others learn what the contributor has changed.
    async fn sync(&mut self, group: usize, but: usize) {
        for at in self.groups[group].up() {
            if at != but {
                self.register(group, at).await;
            }
        }
    }

    /// A member that is down begins, on a connection of its own.
    pub(crate) async fn start(&mut self, group: usize, at: usize) {
        let alone = self.groups[group].up().is_empty();
        self.groups[group].members[at].wire = Some(Wire::new());
        if alone || self.groups[group].contributor() == Some(at) {
            // All that it lists is applied by both.
            self.groups[group].touched.clear();
        }
        self.groups[group].members[at].stored = self.groups[group].data_version;
        self.register(group, at).await;
        self.look(group).await;
    }

    /// Both answer something else, as they should.
    pub(crate) async fn differs_in_route(&mut self, difference: &Difference, topic: &str) {
        let request = self.tool_request(request::GET_ROUTEINFO_BY_TOPIC);
        let request = request.with_ext(ExtFields::new().with("topic", topic));
        let (ours, stock) = self.sides.ask_each(&self.tool, request).await;
        let what = difference.what;
        let same = (ours.code, &ours.body) == (stock.code, &stock.body);
        self.sides.check(!same, || format!("the same after all: {what}: {ours:?}"));
        self.sides.meet(difference);
    }
}
