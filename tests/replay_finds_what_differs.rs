// SPDX-License-Identifier: GPL-2.0-only
//! What `decide.h` has decided replays without a difference, whatever the situation; one field of one
//! record changed is found at exactly this record; a constant that differs is found where it first
//! shows; and what is said of another policy is what `decide.h` decides under it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod made_decisions;

use made_decisions::{Rules, Situation, Twist, decide, decide_with, outcome, record, situation};
use proptest::prelude::*;
use scx_toll::analysis::replay::Replayed;
use scx_toll::analysis::replay::other::Other;
use scx_toll::command::replay::replay;
use scx_toll::control::wire::Frame;
use scx_toll::events::{Decision, Verdict};
use scx_toll::ffi;
use scx_toll::model::Hysteresis;
use scx_toll::model::decide::Migrate;
use scx_toll::model::penalty::{Cell, PenaltyMatrix, PenaltyTable, Provenance};
use scx_toll::recording::Recording;
use scx_toll::topology::Level;
use scx_toll::units::{Ns, PerMille, Q10};
use std::collections::{BTreeMap, HashMap};

/// Costs that are given for a whole machine.
fn costs() -> impl Strategy<Value = PenaltyMatrix> {
    let class = || (0..3_000_000u64, 0..4096u32);
    (class(), class(), class(), 0..2000u32, 1024..8192u32).prop_map(|(a, b, c, remote, price)| {
        let mut table = PenaltyTable::default();
        for (level, (hop, refill)) in Level::ALL.into_iter().zip([a, b, c]) {
            let class = table.class_mut(level);
            class.hop = Cell::new(Ns::new(hop), Provenance::Given);
            class.refill = Cell::new(Q10::from_raw(refill), Provenance::Given);
        }
        table.remote_all = Some(Cell::new(PerMille::new(remote), Provenance::Given));
        table.others_pay = Cell::new(Q10::from_raw(price), Provenance::Given);
        PenaltyMatrix::new(&table, &made_decisions::machine())
    })
}

fn thresholds() -> impl Strategy<Value = [Hysteresis; 3]> {
    let gate = || {
        (0..5_000_000u64, 0..5_000_000u64, prop_oneof![Just(0), 0..40_000_000u64]).prop_map(
            |(open, below, hold)| {
                let close = open.saturating_sub(below);
                Hysteresis::new(Ns::new(open), Ns::new(close), Ns::new(hold)).unwrap()
            },
        )
    };
    [gate(), gate(), gate()]
}

fn migrate() -> impl Strategy<Value = (Migrate, u64)> {
    prop_oneof![
        4 => Just((Migrate::Toll, 0)),
        1 => Just((Migrate::Always, 0)),
        1 => Just((Migrate::Never, 0)),
        1 => (0..3_000_000u64).prop_map(|ns| (Migrate::Fixed, ns)),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (migrate(), costs(), thresholds()).prop_map(|((migrate, fixed_ns), costs, thresholds)| Rules {
        migrate,
        fixed_ns,
        costs,
        thresholds,
    })
}

fn situations() -> impl Strategy<Value = Vec<Situation>> {
    prop::collection::vec(situation(), 1..80)
}

/// All decisions, each with its outcome if it has one.
fn frames(situations: &[Situation], rules: &Rules) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (seq, s) in (1..).zip(situations) {
        let decision = decide(s, rules, seq);
        let outcome = outcome(&decision, s.span_ns / 3);
        frames.push(Frame::Decision(Box::new(decision)));
        frames.extend(outcome.map(Frame::Outcome));
    }
    frames
}

fn replayed(frames: &[Frame], other: Option<Other>, show: usize) -> Replayed {
    let recording = Recording::new(record(frames)).unwrap();
    let (replayed, missing) = replay(&recording, other, show).unwrap();
    assert!(!missing.cut && missing.bytes == 0);
    let decisions = frames.iter().filter(|frame| matches!(frame, Frame::Decision(_))).count();
    assert_eq!(replayed.decisions, decisions as u64);
    assert_eq!(replayed.outcomes, (frames.len() - decisions) as u64);
    replayed
}

/// Change one number of a record; false where that changes nothing that follows from it.
fn change(frame: &mut Frame, which: u32, by: u32) -> bool {
    let Frame::Decision(decision) = frame else {
        let Frame::Outcome(outcome) = frame else { return false };
        match which % 3 {
            0 => outcome.paid = outcome.paid.map(|paid| !paid),
            1 => outcome.wait_from_ns ^= 1,
            _ => outcome.penalty_ns ^= 1,
        }
        return true;
    };
    let before = follows(decision);
    let q = decision.question.as_mut().unwrap();
    let by = by.max(1);
    match which % 12 {
        0 => q.gain_ns ^= i64::from(by),
        1 => q.refill_ns ^= i64::from(by),
        2 => q.remote_ns ^= i64::from(by),
        3 => q.penalty_ns ^= i64::from(by),
        4 => q.hop_ns += u64::from(by),
        5 => q.price_q10 ^= by,
        6 => q.refill_q10 ^= by,
        7 => q.turns ^= by,
        8 => q.wait_from_ns ^= u64::from(by),
        9 => q.span_ns ^= u64::from(by),
        10 => q.warm_to_ns ^= u64::from(by),
        _ => {
            // To a verdict that this ruling never ends in.
            decision.verdict = match decision.verdict {
                Verdict::Applied | Verdict::Raced => Verdict::NotWorth,
                Verdict::NotWorth | Verdict::AppliedAged => Verdict::Applied,
                _ => Verdict::Affinity,
            };
            return !decision.question.as_ref().unwrap().reasked;
        }
    }
    which % 12 < 4 || follows(decision) != before
}

/// Gain, refill, remote time and penalty by `decide.h`.
fn follows(decision: &Decision) -> [i64; 4] {
    let q = decision.question.as_ref().unwrap();
    let refill = ffi::refill(q.warm_from_ns, q.warm_to_ns, q.refill_q10);
    let mut remote = ffi::remote(q.span_ns, q.there_pm, q.here_pm);
    if q.against_class {
        remote += 4_000_000 + ffi::remote(q.span_ns, q.slower_pm, 0);
    }
    let penalty = ffi::penalty(q.hop_ns, refill, remote, q.price_q10);
    [ffi::gain(q.wait_from_ns, q.wait_to_ns, q.turns), refill, remote, penalty]
}

/// How many decisions of each kind and level end otherwise.
type Changes = BTreeMap<(u32, usize, usize, usize), u64>;

fn expected_changes(recorded: &[Decision], other: &[Decision]) -> Changes {
    let mut changes = Changes::new();
    for (a, b) in recorded.iter().zip(other).filter(|(a, b)| a.verdict != b.verdict) {
        let sort = (a.kind as u32, a.level.index(), a.verdict as usize, b.verdict as usize);
        *changes.entry(sort).or_default() += 1;
    }
    changes
}

fn told_changes(replayed: &Replayed) -> Changes {
    let changes = replayed.other.as_ref().unwrap().changes.iter();
    let sort = |c: &scx_toll::analysis::replay::Change| {
        (c.kind as u32, c.level.index(), c.recorded as usize, c.other as usize)
    };
    changes.map(|change| (sort(change), change.decisions)).collect()
}

fn all_decisions(situations: &[Situation], rules: &Rules) -> Vec<Decision> {
    (1..).zip(situations).map(|(seq, s)| decide(s, rules, seq)).collect()
}

/// Another policy that is `rules` in all.
fn other(rules: &Rules) -> Other {
    let mut other = Other::as_recorded(made_decisions::machine());
    other.migrate = Some((rules.migrate, Ns::new(rules.fixed_ns)));
    other.costs = Some(rules.costs.clone());
    other.thresholds = rules.thresholds.map(Some);
    other
}

fn untwisted(situations: Vec<Situation>) -> Vec<Situation> {
    situations.into_iter().map(|s| Situation { twist: Twist::None, ..s }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_decide_h_decided_follows(situations in situations(), rules in rules()) {
        let frames = frames(&situations, &rules);
        let replayed = replayed(&frames, None, 0);
        prop_assert_eq!(replayed.differences, 0, "{:?}", replayed.first);
        prop_assert_eq!(replayed.priced, replayed.decisions);
    }

    #[test]
    fn one_changed_field_is_found_at_its_record(
        situations in situations(),
        rules in rules(),
        at in any::<prop::sample::Index>(),
        which in any::<u32>(),
        by in prop_oneof![1..64u32, any::<u32>()],
    ) {
        let mut frames = frames(&situations, &rules);
        let at = at.index(frames.len());
        let whole = frames[at].clone();
        prop_assume!(change(&mut frames[at], which, by));
        // An outcome is compared with the question of its decision: it may differ with it.
        if let Frame::Decision(_) = whole
            && matches!(frames.get(at + 1), Some(Frame::Outcome(_)))
        {
            frames.remove(at + 1);
        }
        let replayed = replayed(&frames, None, 3);
        prop_assert_eq!(replayed.differences, 1, "{:?} became {:?}", whole, frames[at]);
        let found = &replayed.first[0];
        prop_assert_eq!(found.number, at as u64 + 1);
        prop_assert_ne!(&found.difference.recorded, &found.difference.computed);
    }

    #[test]
    fn a_constant_that_differs_is_found_where_it_first_shows(
        situations in situations(),
        rules in rules(),
        price in 1..40u32,
    ) {
        // A scheduler that multiplies by a little more than the price that it records.
        let mut frames = frames(&situations, &rules);
        frames.retain(|frame| matches!(frame, Frame::Decision(_)));
        let mut first = None;
        for (number, frame) in (1..).zip(&mut frames) {
            let Frame::Decision(decision) = frame else { continue };
            let q = decision.question.as_mut().unwrap();
            let penalty = ffi::penalty(q.hop_ns, q.refill_ns, q.remote_ns, q.price_q10 + price);
            if penalty != q.penalty_ns && first.is_none() {
                first = Some((number, q.penalty_ns, penalty));
            }
            q.penalty_ns = penalty;
        }
        let replayed = replayed(&frames, None, 0);
        prop_assert_eq!(replayed.differences > 0, first.is_some());
        if let Some((number, computed, recorded)) = first {
            let found = &replayed.first[0];
            prop_assert_eq!((found.number, found.difference.what), (number, "penalty_ns"));
            prop_assert_eq!(&found.difference.recorded, &recorded.to_string());
            prop_assert_eq!(&found.difference.computed, &computed.to_string());
        }
    }

    #[test]
    fn the_recorded_policy_changes_nothing(situations in situations(), rules in rules()) {
        let same = other(&rules);
        let replayed = replayed(&frames(&situations, &rules), Some(same), 0);
        let changed = replayed.other.unwrap();
        prop_assert_eq!(changed.decisions, 0, "{:?}", changed.changes);
        prop_assert_eq!(changed.moves_other, changed.moves_recorded);
    }

    #[test]
    fn another_table_of_costs_decides_as_decide_h_does(
        situations in situations().prop_map(untwisted),
        rules in rules(),
        costs in costs(),
    ) {
        let recorded = all_decisions(&situations, &rules);
        let mut by = Other::as_recorded(made_decisions::machine());
        by.costs = Some(costs.clone());
        let expected = all_decisions(&situations, &Rules { costs, ..rules.clone() });
        let replayed = replayed(&frames(&situations, &rules), Some(by), 1000);
        prop_assert_eq!(told_changes(&replayed), expected_changes(&recorded, &expected));
        let moved = expected.iter().filter(|d| d.verdict.is_applied()).count();
        let changed = replayed.other.unwrap();
        prop_assert_eq!(changed.moves_other, moved as u64);
        for pair in changed.first {
            prop_assert_eq!(&pair.other, &expected[pair.other.seq as usize - 1]);
        }
    }

    #[test]
    fn what_replaces_the_rule_decides_as_decide_h_does(
        situations in situations().prop_map(untwisted),
        rules in rules(),
        (migrate, fixed_ns) in migrate(),
    ) {
        // A gate that was not asked then is led instead, which the next property is about.
        prop_assume!(rules.migrate != Migrate::Always || migrate == Migrate::Always);
        let recorded = all_decisions(&situations, &rules);
        let mut by = Other::as_recorded(made_decisions::machine());
        by.migrate = Some((migrate, Ns::new(fixed_ns)));
        let expected =
            all_decisions(&situations, &Rules { migrate, fixed_ns, ..rules.clone() });
        let replayed = replayed(&frames(&situations, &rules), Some(by), 0);
        prop_assert_eq!(told_changes(&replayed), expected_changes(&recorded, &expected));
    }

    #[test]
    fn other_thresholds_lead_gates_of_their_own(
        situations in situations().prop_map(untwisted),
        rules in rules(),
        node in thresholds(),
    ) {
        prop_assume!(rules.migrate != Migrate::Always && node[2] != rules.thresholds[2]);
        let recorded = all_decisions(&situations, &rules);
        let mut by = Other::as_recorded(made_decisions::machine());
        by.thresholds[Level::Node.index()] = Some(node[2]);
        let mut others = rules.clone();
        others.thresholds[Level::Node.index()] = node[2];
        let mut gates: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
        let expected: Vec<Decision> = (1..)
            .zip(&situations)
            .map(|(seq, s)| {
                if made_decisions::level(s.from, s.to) != Level::Node {
                    return decide(s, &others, seq);
                }
                let gate = gates.entry((s.from, s.to)).or_default();
                let (decision, after) = decide_with(s, &others, seq, *gate);
                *gate = after;
                decision
            })
            .collect();
        let replayed = replayed(&frames(&situations, &rules), Some(by), 0);
        prop_assert_eq!(told_changes(&replayed), expected_changes(&recorded, &expected));
    }
}
