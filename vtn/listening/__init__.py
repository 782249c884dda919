"""The one listener: every port of every process is bound, guarded and served from here.

`sockets` binds, or says in one sentence why not; `gate` counts connections by address and keeps proven ones apart from
unproven ones; `accepting` takes connections from the sockets through the gate, and through TLS, to a protocol; `http`
is that protocol for aiohttp applications. Other protocols (OCPP's WebSocket) bring their own.
"""
