"""On 3.0.1 an object is shown with what is remembered beside that very version of it, whatever is written meanwhile."""

import asyncio
import threading

import pytest

from vtn.auth.installation_keys import Seal
from vtn.auth.tokens import Principal
from vtn.bounds import BodyBounds
from vtn.clock import RealClock
from vtn.ids import Ids
from vtn.rules.privacy import EVERYTHING
from vtn.service import compat30
from vtn.service.bodies import Bodies
from vtn.service.core import Core
from vtn.storage.ports import Change, Record
from vtn.storage.read_model import Filter, ReadModel
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation

AT, LATER = "2026-07-15T16:00:00.000000Z", "2026-07-15T16:00:01.000000Z"
C1 = Principal("c1", is_bl=False, scopes=frozenset(), expires_at_s=float("inf"))
PACKED = [{"id": 7, "payloads": [{"type": "PRICE", "values": [2.0, 3.0]}]}]


def stored(kind, object_id, *, modified=AT, side=None, columns=None, **content):
    metadata = {"id": object_id, "createdDateTime": AT, "modificationDateTime": modified, "objectType": kind.value}
    return Record(kind, object_id, AT, modified, document.render({**metadata, **content}), side=side, **columns or {})


def event(*, modified, side):
    """An event whose bytes have to be made for a VEN, because it may not know of one of the targets."""
    period = {"start": "2030-07-15T16:00:00Z", "duration": "PT2H"}
    shown = {"programID": "p", "intervalPeriod": period, "intervals": PACKED, "targets": ["mine", "hidden"]}
    columns = {"program_id": "p"}
    return stored(ObjectType.EVENT, "e", modified=modified, side=side, columns=columns, **shown, eventName="long" * 500)


@pytest.fixture
def bodies():
    made = Bodies(BodyBounds(heavy_bytes=1024))
    yield made
    made.off.close()


@pytest.fixture
def face(bodies, tmp_path):
    """The use cases over a read model; no store is asked here."""
    model = ReadModel()
    ven = stored(
        ObjectType.VEN, "v", clientID="c1", venName="v", targets=["mine"], columns={"name": "v", "client_id": "c1"}
    )
    program = stored(ObjectType.PROGRAM, "p", programName="p", columns={"name": "p"})
    written = event(modified=AT, side='{"version":"3.0.1"}')
    model.apply([Change(seq, AT, Operation.CREATE, one) for seq, one in enumerate((ven, program, written), start=1)])
    seal = Seal(tmp_path / "seal.key")
    core = Core(None, model, RealClock(), seal, Ids(), lambda *_: None, bodies=bodies)
    return compat30.face(core, {}, http_callbacks=False)


READS = {
    "one": lambda face: compat30.read(face, ObjectType.EVENT, C1, "e"),
    "all": lambda face: compat30.search(face, ObjectType.EVENT, C1, EVERYTHING, Filter(), None),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("successor", ["rewritten", "deleted"])
async def test_a_reading_is_of_one_version_of_the_event(face, bodies, name, successor):
    """While the bytes are made beside the event loop, a 3.1 client writes the event, or takes it away."""
    gate = threading.Event()
    busy = asyncio.create_task(bodies.off.do(gate.wait))
    reading = asyncio.create_task(READS[name](face))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    operation = Operation.UPDATE if successor == "rewritten" else Operation.DELETE
    face.core.model.apply([Change(4, LATER, operation, event(modified=LATER, side=None))])
    gate.set()
    await busy
    shown = document.parse(await reading)
    (read,) = shown if isinstance(shown, list) else [shown]
    assert read["modificationDateTime"] == AT
    assert read["intervals"] == PACKED, "as 3.0.1 had written it"
    assert read["targets"] == [{"type": "GROUP", "values": ["mine"]}]
