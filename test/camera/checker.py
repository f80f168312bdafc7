"""Compares what a simulated camera sent with what was recorded of it."""

from camera.media import AUD, FILLER, PPS, SPS
from camera.recording import chunks_of, read_camera, run_of
from camera.simulator import digest

END = 0.15  # seconds of a run that may be without sound or silence
BUSY = 0.15  # seconds
SYNC = 0.1  # seconds that sound may be away from its place
FLAG = 1.5  # seconds from what was lost to the chunk that is flagged: perhaps the next one
LIMIT = 8  # problems that are told


def same_order(positions):
    return all(a < b for a, b in zip(positions, positions[1:]))


def check_video(scenario, camera, samples):
    problems, truth = [], camera.truth
    tolerance = scenario.expect.tolerance + camera.latest
    truth = [each for each in truth if each.track == "video"]
    places = {}
    for i, each in enumerate(truth):
        places.setdefault(each.hash, []).append(i)
    recorded = []
    for sample in samples:
        if sample.track != "video":
            continue
        for nal in sample.nals():
            if nal[0] & 31 not in (SPS, PPS, AUD, FILLER):
                recorded.append((digest(nal), sample.time, nal[0] & 31, len(nal)))
    seen = []
    begin = recorded[0][1]
    for name, time, kind, size in recorded:
        # SEI may be the same again and again: the next one that is due.
        found = places.get(name, ())
        at = next((i for i in found if not seen or i > seen[-1]), found[-1] if found else None)
        if at is None:
            problems.append(f"{time - begin:.1f} s after the first: recorded, but never sent whole: NAL unit of type {kind}, {size} bytes, hash {name}")
        elif truth[at].state == "damaged":
            problems.append(f"recorded, but it should have been dropped: unit {truth[at].unit}, NAL type {kind}")
        else:
            seen.append(at)
            late = time - truth[at].time
            if abs(late) > tolerance:
                problems.append(f"unit {truth[at].unit} is {late:+.2f} s away from when it was sent")
    if not same_order(seen):
        problems.append("recorded twice or in another order than sent")
    last_of_session = {each.session: each.unit for each in truth}
    recorded_places = set(seen)
    for i, each in enumerate(truth):
        if each.state == "sent" and i not in recorded_places and each.unit != last_of_session[each.session]:
            problems.append(f"sent whole, but not recorded: unit {each.unit} of session {each.session}, NAL type {each.kind}")
    return problems


def check_chunks(scenario, camera, samples, names):
    """A chunk is flagged where something of the picture was lost, and nowhere else."""
    chunks = [chunk for name in names for chunk in chunks_of(name)]
    problems = []
    if sum(chunk.dependent for chunk in chunks) < scenario.expect.dependent:
        problems.append(f"{sum(chunk.dependent for chunk in chunks)} dependent chunks, not {scenario.expect.dependent}")
    times = [each.time for each in samples if each.track == "video"]
    truth = [each for each in camera.truth if each.track == "video"]
    near = FLAG + camera.latest
    # What a camera did not get across before the first picture or behind the last one is in no chunk.
    lost = [each.time for each in truth if each.state == "damaged" and times[0] + 0.2 < each.time < times[-1] - 0.5]
    doubtful = [each.time for each in truth if each.state != "sent"]
    for time in lost:
        if not any(chunk.damaged and chunk.start - near < time < chunk.end + near for chunk in chunks):
            problems.append(f"what was lost {time - times[0]:.1f} s after the first picture is in no chunk that is flagged as damaged")
    for chunk in chunks:
        if chunk.damaged and not any(chunk.start - near < time < chunk.end + near for time in doubtful):
            problems.append(f"a chunk {chunk.start - times[0]:.1f} s after the first picture is flagged as damaged, but nothing was lost")
    return problems


def check_audio(scenario, camera, samples):
    truth = camera.truth
    problems = []
    video = [each for each in samples if each.track == "video"]
    audio = [each for each in samples if each.track == "audio"]
    if scenario.expect.audio == "none":
        return ["sound was recorded"] if audio else []
    covered = sum(each.duration for each in audio)
    shown = sum(min(each.duration, 1.0) for each in video)
    if covered < shown - END * len({each.run for each in video}):
        problems.append(f"{covered:.1f} s of sound with {shown:.1f} s of picture")
    if scenario.expect.audio != "exact":
        return problems
    problems += check_sound_frames(scenario, camera, [each for each in truth if each.track == "audio"], video, audio)
    return problems


def check_sound_frames(scenario, camera, truth, video, audio):
    problems = []
    place = {each.hash: i for i, each in enumerate(truth)}
    seen = [place.get(digest(each.data)) for each in audio]
    known = [at for at in seen if at is not None]
    begin = video[0].time
    # A frame of sound that reaches over the edge of a run belongs to neither: silence stands in for it, and at the end of
    # the recording for what waited for others of its packet.
    together = 2 if any(each.args.get("how") == "several" for each in scenario.faults) else 1
    near = SYNC + together * camera.audio.samples / camera.audio.rate + camera.latest
    runs = {}
    for each in video:
        first, _ = runs.get(each.run, (each.time, None))
        runs[each.run] = (first, each.time + min(each.duration, 1.0))

    def inside(time, run=None):
        return any(first + near < time < last - near for number, (first, last) in runs.items() if run in (None, number))

    unknown = [each for at, each in zip(seen, audio) if at is None and inside(each.time, each.run)]
    if unknown and not scenario.expect.silence:
        when = ", ".join(f"{each.time - begin:.2f}" for each in unknown[:LIMIT])
        problems.append(f"{len(unknown)} audio frames were recorded that were never sent: {when} s after the first picture")
    if not same_order(known):
        problems.append("audio recorded twice or in another order than sent")
    if any(truth[at].state == "damaged" for at in known):
        problems.append("damaged audio was recorded")
    off = [each.time - truth[at].time for at, each in zip(seen, audio) if at is not None and abs(each.time - truth[at].time) > near]
    if off:
        problems.append(f"{len(off)} audio frames are up to {max(off, key=abs):+.2f} s away from when they were heard")
    found = set(known)
    return problems + [f"audio frame sent whole, but not recorded: {each.time - begin:.2f} s after the first picture"
                       for i, each in enumerate(truth) if each.state == "sent" and i not in found and inside(each.time)]


def check(scenario, camera, status, store):
    """What is wrong, as texts; empty if all is as it should be. `status`: what miharu said of the camera while it ran."""
    expect, problems = scenario.expect, list(camera.mistakes)
    samples, names = read_camera(store, scenario.name)
    oddities = status.get("oddities", {})
    for quirk in expect.oddities:
        if not oddities.get(quirk):
            problems.append(f"miharu did not count {quirk}; it counted {oddities}")
    if not expect.least_connects <= status["connects"] <= expect.connects:
        problems.append(f"{status['connects']} connections, not {expect.least_connects} to {expect.connects}: {status['last_error']}")
    if expect.transport and status["transport"] != expect.transport:
        problems.append(f"over {status['transport'] or 'nothing'}, not {expect.transport}")
    if expect.requests and camera.requests > expect.requests:
        problems.append(f"{camera.requests} requests, more than {expect.requests}")
    if expect.recording == "none":
        if samples:
            problems.append(f"{len(samples)} samples were recorded")
        return problems[:LIMIT]
    if expect.recording == "any":
        return problems[:LIMIT]
    if not any(each.track == "video" for each in samples):
        return (problems + [f"nothing was recorded: {status['last_error']}"])[:LIMIT]
    runs = "".join(letter for _, letter in sorted({run_of(each) for each in names}))
    expected = expect.runs
    if camera.latest > BUSY:
        # The simulator itself was late: to place what follows anew is right then, also where a run would have begun anyway.
        if len(runs) == len(expected):
            runs = "".join(b if a == "t" else a for a, b in zip(runs, expected))
        runs, expected = runs.replace("t", ""), expected.replace("t", "")
    if expected != "*" and runs != expected:
        problems.append(f"runs began for {runs}, not {expected}")
    problems += check_video(scenario, camera, samples)
    if expect.flags:
        problems += check_chunks(scenario, camera, samples, names)
    if expect.audio:
        problems += check_audio(scenario, camera, samples)
    return problems[:LIMIT]
