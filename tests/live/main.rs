// SPDX-License-Identifier: GPL-2.0-only
//! Properties that only a real kernel can show. Each module boots virtual
//! machines through `tools/vm`; see [`vm`] for what happens where none can run.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

#[path = "../measured_tables/mod.rs"]
mod measured_tables;
#[path = "../openmetrics_reader/mod.rs"]
mod openmetrics_reader;
#[path = "../verdicts/mod.rs"]
mod verdicts;
mod vm;

mod a_class_of_cores_is_changed_once;
mod a_long_recording_is_cut_anywhere;
mod a_made_up_machine_gets_its_recorded_table;
mod a_recording_is_what_happened;
mod a_short_sleeper_gets_in_among_hogs;
mod affinity_and_weights_hold;
mod affinity_storms_lose_nobody;
mod an_error_exit_gives_the_machine_back;
mod any_scheduler_is_recorded;
mod bad_machines_are_refused;
mod books_balance_after_a_storm;
mod counters_agree_with_the_tracepoint;
mod cpus_go_and_come_in_place;
mod deciding_in_user_space_survives_storms;
mod emulation_is_not_measured;
mod every_decision_is_explained;
mod flags_change_what_happens;
mod groups_get_their_shares;
mod learning_recovers_a_wrong_table;
mod light_tasks_go_home_and_heavy_ones_bring_their_memory;
mod listening_is_paid_while_somebody_listens;
mod memory_that_follows_spares_remote_time;
mod moves_follow_the_price;
mod odd_machines_are_scheduled;
mod oldest_and_newest_kernel;
mod only_root_controls_and_no_end_leaves_it_stuck;
mod partners_come_together;
mod policy_changes_are_whole_and_take_effect;
mod random_memory_survives_being_moved;
mod real_time_neighbours_take_capacity;
mod refills_recover_from_a_wrong_table;
mod the_control_plane_may_die;
mod the_lab_repeats_itself;
mod the_policy_map_equals_the_model;
mod traces_of_known_answer;
mod verdicts_agree_with_the_kernels_call_path;
mod verifying_stays_cheap;
