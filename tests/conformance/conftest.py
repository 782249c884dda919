"""Makes the modules beside this file importable; top nodes beside a stage are forks, but one."""

import fork_server
import pytest
from vtn_process import PROGRAM

from ven_adapters.adapter_checks.stages import top_node

STARTED_AS_BY_AN_OPERATOR = "test_the_scorecard_is_green_for[ford]"


@pytest.fixture(autouse=True)
def forked_top_nodes(request, monkeypatch):
    if request.node.name == STARTED_AS_BY_AN_OPERATOR:
        return

    async def started(environ, *words, stdout):
        with open("/dev/null", "w") as quiet:  # noqa: ASYNC230, PTH123 - it takes no time
            return await fork_server.converse(PROGRAM, *words, env=environ, stderr=quiet)

    monkeypatch.setattr(top_node, "_started", started)
