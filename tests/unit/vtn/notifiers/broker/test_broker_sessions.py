"""Sessions at the bundled broker that have lost their ground: nothing is published while one of them is open."""

import pytest
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from vtn.errors import Unavailable
from vtn.notifiers.audience import Standing
from vtn.notifiers.broker.authorisation import Authorisation, BrokerSession
from vtn.notifiers.broker.secrets import load_keys

BL = Standing(is_bl=True, ven_id=None, since_s=0.0)


class Audience:
    """Clients by name; whoever is not named is revoked."""

    def __init__(self, **standings) -> None:
        self.standings = standings

    async def current(self):
        """Nothing to catch up with."""

    def standing(self, client_id):
        return self.standings.get(client_id)


class Overseer:
    """The connection that closes sessions; `outcomes` are what a request meets, by the session's number."""

    def __init__(self, **outcomes) -> None:
        self.outcomes = outcomes
        self.asked = []

    async def request(self, _subject, body, **_options):
        self.asked.append(body.decode())
        for number, outcome in self.outcomes.items():
            if number.strip("_") in body.decode():
                raise outcome


@pytest.fixture
def authorisation(tmp_path):
    """An authorisation that has let in two Business Logic clients, one of which is revoked since."""
    absent = {"identify": None, "identifiers": None, "forget": None}
    made = Authorisation(
        load_keys(tmp_path / "keys"), "", Audience(b1=BL), **absent, most_sessions=1, now_s=lambda: 0.0
    )
    made._sessions = {
        n: BrokerSession("SERVER", n, name, name, BL, None) for n, name in ((1, "b1"), (2, "b2"), (3, "b3"))
    }
    return made


@pytest.mark.parametrize("outcome", [NatsTimeout(), TimeoutError(), ConnectionClosedError()])
async def test_a_session_that_cannot_be_closed_holds_publishing_back_and_no_other_session(authorisation, outcome):
    authorisation._overseer = Overseer(_2=outcome)
    with pytest.raises(Unavailable):
        await authorisation.review()
    assert list(authorisation._sessions) == [1, 2]
    authorisation._overseer = Overseer()
    await authorisation.review()
    assert list(authorisation._sessions) == [1]


async def test_without_a_way_to_close_sessions_nothing_is_published_either(authorisation):
    with pytest.raises(Unavailable):
        await authorisation.review()
    del authorisation._sessions[2], authorisation._sessions[3]
    await authorisation.review()


async def test_a_session_of_a_broker_that_is_gone_is_gone_with_it(authorisation):
    authorisation._overseer = Overseer(_2=NoRespondersError())
    await authorisation.review()
    assert list(authorisation._sessions) == [1]
