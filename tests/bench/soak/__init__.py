"""A day at the door in a few minutes: does memory stay flat, does anything leak, is every event accounted for?

    nice -n 10 python -m tests.bench.soak --hours 24 --csv soak.csv
    python -m tests.bench.soak.plot soak.csv docs/images/soak.png

The real daemon with the real networks, outbox, gallery and MQTT client runs in a process of its own before a played camera
(`stage`): four frames of 320x180 for every simulated second, taken as fast as they are worked through. Meanwhile the `conductor`
restarts and freezes the broker, cuts it off for hours, enrols and removes people, and sends good and bad commands.

Simulated is the time that frames carry, on which visits, tracks, decisions and cool-downs live. Every other clock is real, so the
time limits of network, camera, presence and health are set to fractions of a second. Memory is what the kernel counts, VmRSS and
Anonymous of smaps_rollup. Growth is the median of the last tenth of the samples less that of the tenth after the warm-up, itself a tenth.
"""
