"""A fleet: many cameras, each with a few faults, all drawn from a seed."""

import random

from camera.scenario import parse

# Faults that may meet in one camera: (quirk, kind, arguments, where), drawn by their place in time. UDP has its own.
ANYWHERE = [
    ("P6", "marker", {"where": "none"}),
    ("P6", "marker", {"where": "some"}),
    ("P7", "bad_packets", {"at": 3, "every": 2}),
    ("P7", "padding", {}),
    ("P2", "ssrc_change", {"at": 10, "every": 10}),
    ("P1", "reply", {"method": "SETUP", "replace": [[r"ssrc=\w+", "ssrc=12"]]}),
    ("P3", "reply", {"method": "PLAY", "drop": ["RTP-Info"]}),
    ("R1", "reply", {"lower": True, "separator": ":"}),
    ("R7", "reply", {"split": 5}),
    ("R8", "request", {"at": 5, "every": 15}),
    ("R9", "reply", {"set": {"CSeq": "4711"}}),
    ("S5", "sdp", {"replace": [["profile-level-id=[0-9a-f]*", "profile-level-id=1"]]}),
    ("C2", "fragment_errors", {"how": "reserved"}),
    ("C6", "sps_change", {"how": "alternate", "at": 10, "every": 20}),
    ("C11", "irregular", {}),
    ("T6", "silence", {"at": 30, "for": 1, "seconds": 2.0}),
    ("T7", "close", {"at": 35}),
]
TCP = [
    ("T2", "unassigned", {"at": 3, "every": 2}),
    ("T3", "junk", {"at": 12, "every": 11, "bytes": 200}),
    ("T3", "repeat", {"at": 14, "every": 9}),
    ("T3", "cut", {"at": 13, "every": 12}),
    ("R7", "segments", {"size": 50}),
]
UDP = [
    ("U5", "drop", {"at": 5, "rate": 0.05}),
    ("U5", "reorder", {"at": 2}),
    ("U5", "duplicate", {}),
    ("U1", "reply", {"method": "SETUP", "replace": [[r"server_port=\d+-\d+", "server_port=9-10"]]}),
    ("U6", "bye", {"at": 15, "for": 1}),
]
# What both would change, or what one does to the ground truth of the other.
APART = [{"ssrc_change", "bad_packets"}, {"sps_change", "close"}, {"silence", "close"}, {"cut", "repeat"}, {"cut", "junk"}, {"cut", "segments"},
         {"repeat", "segments"}, {"junk", "repeat"}, {"ssrc_change", "reorder"}, {"padding", "cut"}, {"drop", "marker"}, {"drop", "duplicate"}]


def fleet(seed, count=64):
    rng = random.Random(f"fleet {seed}")
    out = []
    for number in range(count):
        transport = rng.choice(["auto", "auto", "udp"])
        pool = ANYWHERE + (UDP if transport == "udp" else TCP)
        chosen = []
        for _ in range(rng.randint(1, 4)):
            new = rng.choice(pool)
            kinds = {each[1] for each in chosen}
            if new[1] not in kinds and not any(new[1] in pair and pair & kinds for pair in APART):
                chosen.append(new)
        kinds = {each[1] for each in chosen}
        ends = "close" in kinds
        expect = {"units": 60, "runs": "rc" if ends else "r", "connects": 3 if ends else 1}
        out.append(parse({
            "name": f"fleet-{number}", "title": " + ".join(each[1] for each in chosen),
            "camera": {"transport": transport},
            "video": {"slices": rng.choice([1, 1, 2, 4]), "gop": 10, "aud": rng.random() < 0.3, "sei": rng.random() < 0.3,
                      "in_band": rng.choice(["all", "all", "none"]) if "sps_change" not in kinds else "all"},
            "audio": {"codec": rng.choice(["none", "none", "aac", "pcmu"])},
            "expect": expect,
            "fault": [{"id": quirk, "kind": kind, **args} for quirk, kind, args in chosen],
        }, f"fleet {seed}"))
    return out
