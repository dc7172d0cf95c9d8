// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use crate::events::Who;

fn question() -> Question {
    Question {
        asked_ns: 5_000_000,
        gain_ns: 1_900_000,
        penalty_ns: 410_000,
        wait_from_ns: 1_900_000,
        turns: 1,
        hop_ns: 20_000,
        refill_ns: 390_000,
        price_q10: 1024,
        refill_q10: 1024,
        warm_from_ns: 820_000,
        warm_most_ns: 1_000_000,
        ..Question::default()
    }
}

fn decision() -> Decision {
    Decision {
        seq: 7,
        at_ns: 1_500_000_000,
        count: 1,
        policy_version: 1,
        who: Some(Who { pid: 4711, tgid: 4700, cgroup: 1, comm: "rustc".into() }),
        kind: Kind::Pull,
        level: Level::Llc,
        verdict: Verdict::Applied,
        cpu: 6,
        from_llc: Some(0),
        to_llc: Some(3),
        from_cpu: Some(1),
        to_cpu: Some(6),
        waited_ns: 0,
        age_ns: 500_000_000,
        migrate: Migrate::Toll,
        fixed_ns: 0,
        for_class: false,
        question: Some(question()),
    }
}

fn outcome(paid: Option<bool>) -> Outcome {
    Outcome {
        seq: 7,
        at_ns: 1_500_030_000,
        waited_ns: 30_000,
        wait_from_ns: 1_900_000,
        wait_to_ns: 0,
        penalty_ns: 410_000,
        turns: 1,
        paid,
        who: Who { pid: 4711, tgid: 4700, cgroup: 1, comm: "rustc".into() },
        cpu: 6,
    }
}

/// The words behind the time.
fn words(decision: &Decision) -> String {
    let line = line(decision, None);
    line.strip_prefix("1.500000 ").expect("the time").to_string()
}

#[test]
fn a_move_says_what_it_saves_and_costs_and_what_became_of_it() {
    assert_eq!(
        line(&decision(), Some(&outcome(Some(true)))),
        "1.500000 pull cpu6←llc0: rustc/4711 waits 1.90 ms more there, move costs 0.41 ms \
         (hop 0.02 + refill 0.39, 82 % warm): moved; it then ran after 0.03 ms"
    );
    assert!(line(&decision(), Some(&outcome(Some(false)))).ends_with("0.03 ms, which did not pay"));
}

#[test]
fn turns_price_remote_time_and_a_way_home_are_told() {
    let mut push = Decision { kind: Kind::Push, to_cpu: None, ..decision() };
    let q = push.question.as_mut().expect("priced");
    (q.turns, q.price_q10, q.remote_ns, q.penalty_ns) = (4, 3072, 100_000, 1_530_000);
    assert_eq!(
        words(&push),
        "push llc0→llc3: rustc/4711 waits 4 × 1.90 ms less there, move costs 1.53 ms \
         (3.0 × (hop 0.02 + refill 0.39 + remote 0.10), 82 % warm): moved"
    );
    let q = push.question.as_mut().expect("priced");
    (q.refill_ns, q.remote_ns, q.penalty_ns) = (-390_000, -100_000, -470_000);
    assert!(
        words(&push).contains("move brings 0.47 ms (hop 0.02 - refill 0.39 - remote 0.10, "),
        "{}",
        words(&push)
    );
}

#[test]
fn refusals_name_their_reason() {
    let refused = |verdict| Decision { verdict, ..decision() };
    assert!(words(&refused(Verdict::NotWorth)).ends_with("82 % warm): not worth it"));
    assert!(words(&refused(Verdict::Raced)).ends_with(": another CPU was faster"));
    let mut held = refused(Verdict::Hysteresis);
    let q = held.question.as_mut().expect("priced");
    (q.hold_ns, q.gate_since_ns) = (4_000_000, 4_000_000);
    assert!(words(&held).ends_with(": it pays, but has done so for 1.00 of 4.00 ms only"));
    let q = held.question.as_mut().expect("priced");
    (q.hold_ns, q.open_ns) = (0, 2_000_000);
    assert!(words(&held).ends_with("it pays, but imbalances below 2.00 ms do not count"));
    let mut raced = refused(Verdict::Raced);
    raced.question.as_mut().expect("priced").reasked = true;
    assert!(words(&raced).ends_with("the idle CPU was taken, and without it not worth it"));
    let mut owed = refused(Verdict::AppliedAged);
    owed.question.as_mut().expect("priced").owed = true;
    assert!(words(&owed).ends_with(": its cgroup is owed a lot, moved all the same"));
    let mut sent = refused(Verdict::AppliedAged);
    sent.question.as_mut().expect("priced").sent_home = true;
    assert!(words(&sent).ends_with(": sent home to its memory all the same"));
}

#[test]
fn who_goes_to_its_partner_is_told_what_staying_has_cost() {
    let mut beside = decision();
    (beside.kind, beside.verdict) = (Kind::Place, Verdict::Applied);
    let q = beside.question.as_mut().expect("priced");
    (q.beside, q.wait_from_ns, q.wait_to_ns) = (true, 500_000, 0);
    let words = words(&beside);
    assert!(words.contains("hand-overs from there have cost 0.50 ms, move costs "), "{words}");
    assert!(words.ends_with(": moved beside its partner"), "{words}");
}

#[test]
fn what_did_not_come_to_a_price_is_told_without_one() {
    let plain =
        |kind, level, verdict| Decision { kind, level, verdict, question: None, ..decision() };
    let nobody = |decision| Decision { who: None, from_llc: None, ..decision };
    for (decision, text) in [
        (
            plain(Kind::Place, Level::Core, Verdict::Applied),
            "place cpu6: rustc/4711 goes to an idle CPU of its LLC",
        ),
        (
            Decision { to_cpu: None, ..plain(Kind::Push, Level::Core, Verdict::Nothing) },
            "push llc3: rustc/4711 finds no idle CPU in its LLC",
        ),
        (
            Decision {
                to_cpu: None,
                to_llc: None,
                ..plain(Kind::Place, Level::Node, Verdict::Affinity)
            },
            "place llc0→another node: rustc/4711 may not run on the other nodes",
        ),
        (
            nobody(plain(Kind::Pull, Level::Llc, Verdict::Nothing)),
            "pull cpu6←another llc: nothing waits in the other LLCs of its node",
        ),
        (
            nobody(plain(Kind::Pull, Level::Core, Verdict::Applied)),
            "pull cpu6: takes the next task of its own queues",
        ),
        (
            Decision { for_class: true, ..plain(Kind::Push, Level::Llc, Verdict::Applied) },
            "push llc0→cpu6: rustc/4711 goes to an idle CPU of the class where it belongs",
        ),
        (
            Decision {
                for_class: true,
                to_cpu: None,
                ..plain(Kind::Place, Level::Llc, Verdict::Nothing)
            },
            "place llc0→llc3: rustc/4711 finds no idle CPU of the class where it belongs",
        ),
        (
            plain(Kind::Pull, Level::Llc, Verdict::Affinity),
            "pull cpu6←llc0: rustc/4711 waits there, but may not run here",
        ),
        (
            Decision {
                waited_ns: 612_000_000,
                ..plain(Kind::Pull, Level::Node, Verdict::AppliedAged)
            },
            "pull cpu6←llc0: rustc/4711 has waited 612 ms, more than 500 ms: moved whatever it \
             costs",
        ),
    ] {
        assert_eq!(words(&decision), text);
    }
}

#[test]
fn what_replaces_the_rule_is_named() {
    for (migrate, text) in [
        (Migrate::Fixed, "more there, any move costs 0.70 ms: moved"),
        (Migrate::Always, "more there, any gain is worth a move: moved"),
        (Migrate::Never, "more there, moves are switched off: moved"),
    ] {
        let decision = Decision { migrate, fixed_ns: 700_000, ..decision() };
        assert!(words(&decision).ends_with(text), "{}", words(&decision));
    }
}

#[test]
fn a_move_is_told_once_with_its_outcome_or_when_that_is_overdue() {
    let mut teller = Teller::default();
    assert!(teller.decision(decision()).is_empty());
    let refused = Decision { verdict: Verdict::NotWorth, seq: 8, ..decision() };
    assert_eq!(teller.decision(refused).len(), 1);
    let told = teller.outcome(&outcome(Some(true)));
    assert!(told.len() == 1 && told[0].ends_with("it then ran after 0.03 ms"), "{told:?}");
    assert!(teller.outcome(&outcome(Some(true))).is_empty());

    assert!(teller.decision(decision()).is_empty());
    let later = Decision { seq: 9, at_ns: decision().at_ns + HOLD_NS, ..decision() };
    assert_eq!(teller.decision(later).len(), 1);
    assert_eq!(teller.rest().len(), 1);
}
