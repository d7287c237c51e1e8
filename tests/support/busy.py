"""Time limits that hold on a busy machine too: what a core gives us at this moment is measured before a test is failed for it."""

import time


def slowdown():
    """How many times longer than alone a tenth of a second of a processor takes here and now."""
    began, had = time.perf_counter(), time.process_time()
    while time.process_time() - had < 0.1:
        pass
    return max(1.0, (time.perf_counter() - began) / 0.1)


def within(began, seconds):
    """Whether no more than `seconds` have passed since `began` (of `time.perf_counter`), or would have on an idle machine."""
    passed = time.perf_counter() - began
    return passed < seconds or passed < 2 * seconds * slowdown()
