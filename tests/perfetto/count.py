# SPDX-License-Identifier: GPL-2.0-only
"""Decode a trace with Perfetto's own definitions and say what is in it, as JSON.

Usage: count.py TRACE
"""

import collections
import json
import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent


def main():
    trace = Trace()
    with open(sys.argv[1], "rb") as file:
        trace.ParseFromString(file.read())
    tracks, parents = {}, {}
    slices, run_ns = collections.Counter(), collections.Counter()
    instants, counters = collections.Counter(), collections.Counter()
    begun, flows, problems = {}, collections.Counter(), []
    highest = 0.0
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            tracks[track.uuid] = track.name
            parents[track.name] = tracks.get(track.parent_uuid, "")
            continue
        event = packet.track_event
        name = tracks[event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            if name in begun:
                problems.append(f"{name}: two slices at once at {packet.timestamp}")
            begun[name] = packet.timestamp
            slices[name] += 1
            notes = {note.name for note in event.debug_annotations}
            if not {"pid", "tgid", "cgroup"} <= notes:
                problems.append(f"{name}: a slice has only {notes}")
        elif event.type == TrackEvent.TYPE_SLICE_END:
            run_ns[name] += packet.timestamp - begun.pop(name)
        elif event.type == TrackEvent.TYPE_INSTANT:
            instants[event.categories[0]] += 1
            flows["begin"] += len(event.flow_ids)
            flows["end"] += len(event.terminating_flow_ids)
        elif event.type == TrackEvent.TYPE_COUNTER:
            counters[name] += 1
            highest = max(highest, event.double_counter_value)
    problems += [f"{name}: a slice does not end" for name in begun]
    print(json.dumps({
        "slices": slices, "run_ns": run_ns, "instants": instants, "counters": counters,
        "flows": flows, "parents": parents, "highest": highest, "problems": problems,
    }))


main()
