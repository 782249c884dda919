"""Drive `pyoadr-ven`, a VEN of the VOLTTRON line: register, poll, opt, report. Runs in an environment of its own.

Reads facts from standard input (the URL's root, the VEN's name), prints what it came to as one line of JSON each.
"""

import json
import sys
import time
from typing import Any

BOUND_S = 25.0


def say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words, default=str) + "\n")
    sys.stdout.flush()


def main() -> None:
    from pyoadr_ven import OpenADRVenAgent

    facts = json.load(sys.stdin)
    measured = {
        "power": {
            "r_id": "power",
            "report_type": "reading",
            "reading_type": "Direct Read",
            "units": "powerReal",
            "method_name": "get_power",
            "min_frequency": 2,
            "max_frequency": 60,
        }
    }
    reports = {
        "telemetry": {
            "report_name_metadata": "METADATA_TELEMETRY_USAGE",
            "report_interval_secs_default": 2,
            "telemetry_parameters": measured,
        }
    }
    agent = OpenADRVenAgent(
        ven_id=facts["ven"],
        vtn_id="EVTN",
        vtn_address=facts["url"],
        client_pem_bundle=None,
        vtn_ca_cert=None,
        opt_timeout_secs=1,
        poll_interval_secs=5,
        report_parameters=reports,
    )
    agent.register(facts["ven"])
    say(step="registered", ven=agent.ven_id, vtn=agent.vtn_id)
    agent.poll_interval_secs = 1  # it takes the VTN's answer for something that it is not
    until_s, seen = time.monotonic() + BOUND_S, None
    while time.monotonic() < until_s:
        agent.tick()
        for one in agent.active_or_pending_events:
            told = {key: one[key] for key in ("event_id", "opt_type", "status", "modification_number") if key in one}
            if told != seen:
                seen = told
                say(step="event", **told)
        if seen and seen.get("opt_type") == "optIn":
            break
        time.sleep(0.2)
    say(step="done", reports=len(agent.active_or_pending_reports))


if __name__ == "__main__":
    main()
