"""How an owner links his car to our client at Enode: a page of Enode's, which keeps his grant itself."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ven_adapters.oems.enode import judge
from ven_adapters.transport.consent import ConsentConversation, ConsentSettings, HostedConsent, options
from ven_adapters.transport.grants.grants import AppTokens
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.vendor_readings import pick
from ven_adapters.transport.vendor_session import Dialect, VendorSession, VendorSettings, vendor_settings

USUAL = ConsentSettings(scope="vehicle:read:data vehicle:read:location vehicle:control:charging")


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner's link; `name` is his user id at Enode."""
    read, asked = vendor_settings("enode", settings), options(settings.get("consent", {}), USUAL)
    owner = _Owner(read, asked, name)
    return HostedConsent(asked, owner.page, owner.cars, owner.close, owner.forget)


class _Owner:
    """Calls about one user of ours."""

    def __init__(self, settings: VendorSettings, asked: ConsentSettings, name: str) -> None:
        self._session = VendorSession(settings, settings.url, AppTokens(settings.client), Dialect(judge))
        self._names, self._asked = settings.names, asked
        self._path = f"/users/{quote(name, safe='')}"

    async def page(self, state: str) -> str:
        """The page where the owner links his car; he comes back with our state."""
        asked = self._asked
        wanted = {"vendor": asked.vendor} if asked.vendor else {}
        back = f"{asked.redirect_uri}?{urlencode({'state': state})}"
        link = {"vendorType": "vehicle", "scopes": asked.scope.split(), "language": asked.language, "redirectUri": back}
        call = Call("POST", f"{self._path}/link", body=dumps(wanted | link), writes=True)
        return str(pick(await self._session.json(call), "linkUrl"))

    async def cars(self) -> list[str]:
        """The owner's cars, by our refs."""
        raw = await self._session.json(Call("GET", f"{self._path}/vehicles"))
        return [self._names.ref(str(pick(car, "id"))) for car in pick(raw, "data")]

    async def forget(self) -> None:
        """End what the owner granted us at Enode."""
        await self._session.call(Call("DELETE", f"{self._path}/authorization", writes=True))

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()
