"""Which requirements the checks cite, and why the others have none."""

from collections.abc import Iterable, Mapping

from vtn.conformance.check import ConformanceCheck
from vtn.conformance.requirements import every

UNCHECKED: Mapping[str, str] = {
    "VER-04": "says that no base path is mandated: whatever URL the kit is called with is the right one",
    "AUTH-13": "needs a client that its operator has barred from the grant, which no request can bring about",
    "AUTH-24": "leaves the format of tokens to the VTN: to its clients they are opaque",
    "INT-13": "asks clients to judge, when they read an event, whether it is still active",
    "RDS-11": "asks VENs which of the reports that they missed to send; nothing of it shows at the VTN",
    "HOOK-04": "takes more failures than fit into a run: retries go on for minutes or hours, and VTNs choose how many",
    "HOOK-07": "lets a VTN sign its notifications in a way of its own, which a stranger cannot verify",
    "HOOK-08": "lets a VTN publish the addresses that it calls from, out of band",
    "HOOK-12": "asks the receiver to answer challenges, as the kit's own receiver does throughout",
    "DISC-12": "asks VENs to prefer the .local name",
    "SEC-06": "asks VENs to verify certificates",
    "SEC-12": "says that credentials, URL and names are agreed out of band; the kit is given its own that way",
}


def covered(checks: Iterable[ConformanceCheck]) -> frozenset[str]:
    """Requirements cited by at least one of these checks."""
    return frozenset(name for check in checks for name in check.requirements)


def uncovered(checks: Iterable[ConformanceCheck]) -> dict[str, str]:
    """Requirements that no check cites, each with its reason."""
    cited = covered(checks)
    return {name: UNCHECKED.get(name, "nobody has written one yet") for name in every() if name not in cited}
