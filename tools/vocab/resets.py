#!/usr/bin/env python3
"""Ask the installed LiteLLM when budgets start again.

Run it with an interpreter that has LiteLLM and write its output to
internal/litellm/duration/testdata/resets.tsv.
"""

import datetime
import os
import random

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="CRITICAL")

from litellm.litellm_core_utils import duration_parser  # noqa: E402

EDGES = [
    "1d", "24h", "7d", "1w", "30d", "1mo", "2mo", "0mo", "0d", "5x", "30min", "", "none", "daily", "Weekly", "monthly",
    "hourly", "1h30m", "1h ", "3D", " 1h", "48h", "1440m", "2880m", "4000m", "86400s", "200000s", "90000s",
]
NUMBERS = [1, 2, 3, 5, 6, 7, 8, 10, 12, 14, 15, 20, 24, 28, 30, 31, 36, 45, 48, 60, 90, 100, 365]
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Europe/Berlin", "Australia/Lord_Howe", "Nowhere/X"]
TIMES = [datetime.time(0, 0)] * 3 + [datetime.time(9, 30), datetime.time(23, 59, 59)]


def main():
    random.seed(7)
    utc = datetime.timezone.utc
    print("# window\tzone\ttime of day\tnow\tnext reset, as the emulated release answers")
    for i in range(400):
        if i < len(EDGES) * 3:
            window = EDGES[i % len(EDGES)]
        else:
            window = str(random.choice(NUMBERS)) + random.choice(["s", "m", "h", "d", "w", "mo"])
        zone = random.choice(ZONES)
        now = datetime.datetime(2026, 1, 1, tzinfo=utc) + datetime.timedelta(seconds=random.randrange(0, 400 * 86400))
        at = random.choice(TIMES)
        try:
            reset = duration_parser.get_next_standardized_reset_time(window, now, zone, reset_time_of_day=at)
            answer = reset.astimezone(utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        except ValueError as e:
            answer = f"error {e}"
        print("\t".join([window or "-", zone, at.strftime("%H:%M:%S"), now.strftime("%Y-%m-%dT%H:%M:%SZ"), answer]))


if __name__ == "__main__":
    main()
