"""Mutations of subscriptions, webhooks and MQTT."""

import dataclasses
import functools

import aiohttp
from breaking import mutant, wrap

from vtn.endpoints import guard, notifiers
from vtn.endpoints import objects as http_objects
from vtn.notifiers import audience
from vtn.notifiers.webhooks import callbacks
from vtn.rules import admission, privacy, recipients, topics
from vtn.rules.recipients import Telling
from vtn.service import subscriptions
from vtn.wire import document
from vtn.wire.enumerations import Operation


def _nothing_wrong():
    async def challenge(*_args, **_kwargs):
        return None

    return challenge


@mutant("SUB-15")
def any_scheme_will_do(patch):
    """A callback over plain HTTP is taken."""
    patch.setattr(admission, "_callback_faults", lambda *_args, **_kwargs: ())
    patch.setattr(callbacks.Callbacks, "challenge", _nothing_wrong())


@mutant("SUB-17")
def nothing_is_challenged(patch):
    """A subscription is stored without an echo challenge."""
    patch.setattr(callbacks.Callbacks, "challenge", _nothing_wrong())


@mutant("SUB-20")
def every_challenge_is_the_same(patch):
    """The echo value can be foretold."""
    patch.setattr(callbacks.secrets, "token_urlsafe", lambda *_: "always-the-same-value-for-everybody")


@mutant("SUB-21")
def the_challenge_loses_the_query(patch):
    """The echo parameter replaces the callback URL's own query."""
    patch.setattr(callbacks, "_with_echo", lambda url, value: url.partition("?")[0] + f"?echo={value}")


@mutant("SUB-22")
def callbacks_carry_no_token(patch):
    """The bearer token of a subscription is not sent."""
    patch.setattr(callbacks, "_bearer", lambda _token: {})


@mutant("SUB-23")
def callback_tokens_are_shown_to_others(patch):
    """Business Logic reads the bearer tokens of VENs' subscriptions."""
    patch.setattr(privacy, "_without_token", dict)

    def show(core_, _principal, body):
        return document.render(subscriptions._with_tokens(document.parse(body), core_.seal.open))

    kind, item = http_objects.KINDS["subscriptions"]
    patch.setitem(http_objects.KINDS, "subscriptions", (dataclasses.replace(kind, show=show), item))


@mutant("HOOK-06")
def redirects_are_followed(patch):
    """A callback that redirects is followed."""

    def change(post):
        @functools.wraps(post)
        def altered(self, url, **rest):
            return post(self, url, **{**rest, "allow_redirects": True})

        return altered

    wrap(patch, aiohttp.ClientSession, "post", change)


@mutant("NOTIF-02")
def notifications_name_http_methods(patch):
    """An UPDATE is notified as PUT."""

    def change(notification):
        words = {"CREATE": "POST", "UPDATE": "PUT"}
        return lambda *args: {**(n := notification(*args)), "operation": words.get(n["operation"], n["operation"])}

    wrap(patch, recipients, "notification", change)


@mutant("NOTIF-06")
def every_operation_is_notified(patch):
    """A subscription to CREATE hears of updates."""

    def change(subscriber):
        def altered(*args):
            who = subscriber(*args)
            wishes = tuple(dataclasses.replace(w, operations=frozenset(Operation)) for w in who.wishes)
            return dataclasses.replace(who, wishes=wishes)

        return altered

    wrap(patch, recipients, "subscriber", change)


@mutant("NOTIF-07")
def every_program_is_notified(patch):
    """A subscription to one program hears of others."""
    patch.setattr(recipients, "concerns", lambda state, who: recipients.visible(state, who.viewer, who.lens))


@mutant("NOTIF-08")
def delivery_forgets_privacy(patch):
    """Webhooks tell every subscriber of every event."""
    patch.setattr(recipients, "visible", lambda *_: True)


@mutant("NOTIF-10")
def notifications_show_every_target(patch):
    """A VEN is notified with targets that it was not granted."""
    patch.setattr(privacy, "_cut_targets", lambda *_: None)
    patch.setattr(recipients, "view_key", lambda *_: None)


@mutant("NOTIF-15")
def nobody_hears_that_an_object_left(patch):
    """An update that takes an object out of a VEN's sight is not told."""

    def change(told):
        def altered(happening, sees):
            answer = told(happening, sees)
            left = answer and answer.operation is Operation.DELETE and happening.operation is Operation.UPDATE
            return None if left else answer

        return altered

    wrap(patch, recipients, "told", change)


@mutant("NOTIF-12")
def deletions_are_empty(patch):
    """A DELETE notification carries no object."""

    def change(notification):
        def altered(answer: Telling, *rest):
            said = notification(answer, *rest)
            return {**said, "object": {}} if answer.operation is Operation.DELETE else said

        return altered

    wrap(patch, recipients, "notification", change)


@mutant("MQTT-02")
def webhooks_are_denied(patch):
    """/notifiers says that there are no webhooks."""
    wrap(patch, notifiers.NotifierEndpoints, "binding", lambda f: lambda *args: {**f(*args), "WEBHOOK": False})


@mutant("MQTT-13", mqtt=True)
def everybody_may_listen_to_everything(patch):
    """The broker lets a VEN subscribe to any topic."""
    patch.setattr(topics, "permissions", lambda **_: [">"])


@mutant("MQTT-17", mqtt=True)
def one_object_can_be_created_again(patch):
    """The topics of one object have a CREATE."""
    patch.setattr(topics.TopicNames, "single", property(lambda _self: False))


@mutant("MQTT-22", mqtt=True)
def collection_topics_are_open_to_vens(patch):
    """A VEN is told the topics of all events."""
    patch.setattr(guard, "require", lambda *_args, **_kwargs: None)


@mutant("MQTT-33", mqtt=True)
def messages_are_bare_objects(patch):
    """An MQTT message is the object without its operation."""

    def change(body):
        async def bare(*args, **more):
            return document.render(document.parse(await body(*args, **more))["object"])

        return bare

    wrap(patch, audience.Audience, "body", change)


@mutant("MQTT-37", mqtt=True)
def shared_topics_carry_private_events(patch):
    """Targeted events are published where every client may listen."""
    patch.setattr(topics, "visible", lambda *_: True)


@mutant("MQTT-15")
def without_mqtt_there_are_topics(patch):
    """The topic endpoints answer although there is no broker."""

    async def answer(_caller):
        return guard.json_answer(b'{"topics": {"UPDATE": "x", "DELETE": "y"}}')

    patch.setattr(notifiers, "_no_mqtt", answer)
