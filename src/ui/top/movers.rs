// SPDX-License-Identifier: GPL-2.0-only
//! Who moves: tasks by how often they were moved, how far, and what that cost.
//!
//! Statistics know no tasks, so this is made of decision records: a sample of those that are made
//! while it is looked at, or all that a recording has.

use super::{App, after};
use crate::events::{Decision, Who};
use crate::topology::Level;
use crate::ui::text::time;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Share of the decisions that is asked for.
pub const SAMPLE: f64 = 0.25;
/// Tasks that are remembered; beyond that the half that moved least is forgotten.
const KEPT: usize = 4096;

/// What they are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Moves,
    Distance,
    Refill,
    Saved,
    Pid,
}

impl By {
    const ALL: [By; 5] = [By::Moves, By::Distance, By::Refill, By::Saved, By::Pid];

    /// As the line of keys has it.
    pub fn name(self) -> &'static str {
        match self {
            By::Moves => "moves",
            By::Distance => "distance",
            By::Refill => "refill",
            By::Saved => "ΔL-P",
            By::Pid => "pid",
        }
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mover {
    who: Who,
    /// Moves by level, nearest first.
    moves: [u64; 3],
    /// Time to load its warm lines again, in ns, summed.
    refill_ns: i64,
    /// P and ΔL of moves because ΔL > P, in ns, summed.
    penalty_ns: i64,
    gain_ns: i64,
}

impl Mover {
    fn all(&self) -> u64 {
        self.moves.iter().sum()
    }
}

/// All tasks that moved since the beginning.
#[derive(Debug)]
pub struct Movers {
    tasks: HashMap<u32, Mover>,
    /// Why there is nothing to be heard, while that is so.
    deaf: Option<String>,
    by: By,
    /// Words in lower case that pid and name must have.
    pub filter: String,
}

impl Default for Movers {
    fn default() -> Movers {
        Movers { tasks: HashMap::new(), deaf: None, by: By::Moves, filter: String::new() }
    }
}

impl Movers {
    /// Begin anew: what was is forgotten.
    pub fn begin(&mut self) {
        self.tasks.clear();
        self.deaf = None;
    }

    /// Nothing is heard, and why.
    pub fn cannot_hear(&mut self, why: String) {
        self.deaf = Some(why);
    }

    /// Order them by the next thing.
    pub fn sort_next(&mut self) {
        self.by = after(&By::ALL, self.by);
    }

    /// What they are ordered by.
    pub fn by(&self) -> By {
        self.by
    }

    /// Count `decision` if it moved somebody to another CPU.
    pub fn add(&mut self, decision: &Decision) {
        self.deaf = None;
        let Some(who) = moved(decision) else { return };
        if self.tasks.len() >= KEPT && !self.tasks.contains_key(&who.pid) {
            self.forget_half();
        }
        let task = self.tasks.entry(who.pid).or_insert_with(|| Mover {
            who: who.clone(),
            moves: [0; 3],
            refill_ns: 0,
            penalty_ns: 0,
            gain_ns: 0,
        });
        // A thread may take another name, and a number another thread.
        task.who.clone_from(who);
        task.moves[decision.level.index()] += 1;
        if let Some(question) = &decision.question {
            task.refill_ns = task.refill_ns.saturating_add(question.refill_ns.max(0));
            task.penalty_ns = task.penalty_ns.saturating_add(question.penalty_ns);
            task.gain_ns = task.gain_ns.saturating_add(question.gain_ns);
        }
    }

    fn forget_half(&mut self) {
        let mut counts: Vec<u64> = self.tasks.values().map(Mover::all).collect();
        counts.sort_unstable();
        let most = counts[counts.len() / 2];
        self.tasks.retain(|_, task| task.all() > most);
    }

    /// Those that the filter lets through, in their order.
    fn rows(&self) -> Vec<&Mover> {
        let passes = |task: &&Mover| {
            let name = format!("{} {}", task.who.pid, task.who.comm.to_lowercase());
            self.filter.split_whitespace().all(|word| name.contains(word))
        };
        let mut rows: Vec<&Mover> = self.tasks.values().filter(passes).collect();
        let key = |task: &Mover| match self.by {
            By::Moves => (task.all() as i64, 0),
            By::Distance => {
                let [core, llc, node] = task.moves.map(|count| count as i64);
                (node, llc.saturating_mul(1 << 20).saturating_add(core))
            }
            By::Refill => (task.refill_ns, 0),
            By::Saved => (task.gain_ns.saturating_sub(task.penalty_ns), 0),
            By::Pid => (-i64::from(task.who.pid), 0),
        };
        rows.sort_by_key(|task| (Reverse(key(task)), task.who.pid));
        rows
    }
}

/// Who changed its CPU by this decision.
pub fn moved(decision: &Decision) -> Option<&Who> {
    let stays = decision.level == Level::Core && decision.from_cpu == decision.to_cpu;
    decision.who.as_ref().filter(|_| decision.verdict.is_applied() && !stays)
}

/// Draw as many as fit.
pub fn draw(app: &App, frame: &mut Frame, area: Rect) {
    let movers = &app.movers;
    let source = match (&movers.deaf, &app.replayed) {
        (Some(why), _) => format!("  {why}"),
        (None, Some(_)) => "  all that was recorded so far".into(),
        (None, None) => format!(
            "  heard since this is shown, 1 decision in {:.0}; the scheduler records them \
             meanwhile",
            1.0 / SAMPLE
        ),
    };
    let head = format!(
        "{:>8} {:<16}{:>7}{:>7}{:>7}{:>10}{:>10}{:>10}",
        "pid", "comm", "core", "llc", "node", "refill", "P", "ΔL"
    );
    let mut lines = vec![
        Line::from(vec![
            Span::styled("top movers", app.palette.title()),
            Span::styled(source, app.palette.dim()),
        ]),
        Line::styled(head, app.palette.title()),
    ];
    let rows = movers.rows();
    if rows.is_empty() {
        let none =
            if movers.tasks.is_empty() { "nobody so far" } else { "nobody passes the filter" };
        lines.push(Line::styled(format!("{none:>23}"), app.palette.dim()));
    }
    let fit = usize::from(area.height.saturating_sub(lines.len() as u16));
    lines.extend(rows.into_iter().take(fit).map(line));
    frame.render_widget(Paragraph::new(lines), area);
}

fn line(task: &Mover) -> Line<'static> {
    let [core, llc, node] = task.moves;
    // Home to its memory or to a warm cache: less than nothing.
    let signed = |ns: i64| format!("{}{}", if ns < 0 { "-" } else { "" }, time(ns.unsigned_abs()));
    Line::raw(format!(
        "{:>8} {:<16}{core:>7}{llc:>7}{node:>7}{:>10}{:>10}{:>10}",
        task.who.pid,
        task.who.comm,
        signed(task.refill_ns),
        signed(task.penalty_ns),
        signed(task.gain_ns)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Kind, Question, Verdict};
    use crate::model::decide::Migrate;

    fn decision(pid: u32, level: Level, verdict: Verdict, refill_ns: i64) -> Decision {
        let question = Question { refill_ns, penalty_ns: 2 * refill_ns, ..Question::default() };
        Decision {
            seq: 1,
            at_ns: 1,
            count: 1,
            policy_version: 1,
            who: Some(Who { pid, tgid: pid, cgroup: 1, comm: format!("Task{pid}") }),
            kind: Kind::Push,
            level,
            verdict,
            cpu: 0,
            from_llc: Some(0),
            to_llc: Some(1),
            from_cpu: Some(0),
            to_cpu: Some(0),
            waited_ns: 0,
            age_ns: 0,
            migrate: Migrate::Toll,
            fixed_ns: 0,
            for_class: false,
            question: Some(question),
        }
    }

    fn pids(movers: &Movers) -> Vec<u32> {
        movers.rows().iter().map(|task| task.who.pid).collect()
    }

    #[test]
    fn each_order_and_the_filter_do_what_they_say() {
        let mut movers = Movers::default();
        for _ in 0..3 {
            movers.add(&decision(7, Level::Llc, Verdict::Applied, 10));
        }
        movers.add(&decision(5, Level::Node, Verdict::AppliedAged, 20));
        movers.add(&decision(5, Level::Node, Verdict::Applied, 20));
        movers.add(&decision(9, Level::Llc, Verdict::Applied, 5));
        assert_eq!(pids(&movers), [7, 5, 9], "by moves");
        for (name, order) in [
            ("distance", [5, 7, 9]),
            ("refill", [5, 7, 9]),
            ("ΔL-P", [9, 7, 5]),
            ("pid", [5, 7, 9]),
            ("moves", [7, 5, 9]),
        ] {
            movers.sort_next();
            assert_eq!((movers.by().name(), pids(&movers)), (name, order.to_vec()));
        }
        movers.filter = "task 9".into();
        assert_eq!(pids(&movers), [9]);
    }

    #[test]
    fn only_moves_to_another_cpu_count() {
        let mut movers = Movers::default();
        movers.add(&decision(1, Level::Llc, Verdict::NotWorth, 10));
        movers.add(&decision(2, Level::Core, Verdict::Applied, 0));
        let mut nobody = decision(3, Level::Llc, Verdict::Applied, 0);
        nobody.who = None;
        movers.add(&nobody);
        assert!(pids(&movers).is_empty());
        let within = Decision { to_cpu: Some(1), ..decision(4, Level::Core, Verdict::Applied, 0) };
        movers.add(&within);
        assert_eq!(pids(&movers), [4]);
    }

    #[test]
    fn those_that_move_most_are_remembered_of_too_many() {
        let mut movers = Movers::default();
        for pid in 1..=10_000 {
            movers.add(&decision(1, Level::Llc, Verdict::Applied, 0));
            movers.add(&decision(pid, Level::Llc, Verdict::Applied, 0));
        }
        assert!(movers.tasks.len() <= KEPT);
        assert_eq!((pids(&movers)[0], movers.tasks[&1].all()), (1, 10_001));
    }
}
