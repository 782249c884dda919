"""Every name of openleadr and signxml that the bridges stand on; a new release is judged by this first."""

import importlib.metadata
import inspect

import openleadr.enums
import openleadr.messaging
import openleadr.utils
import pytest
import signxml.signer
import signxml.verifier
from lxml import etree

from vtn.oadr20b.codec import encode

OWN = {
    *("oadrUpdateReport", "oadrCreateOpt", "oadrCreatedPartyRegistration", "oadrCreatePartyRegistration"),
    "oadrCancelReport",
}
OF_OPENLEADR = (
    *("oadrCancelOpt", "oadrCanceledOpt", "oadrCreatedOpt", "oadrCancelPartyRegistration"),
    *("oadrCanceledPartyRegistration", "oadrCanceledReport", "oadrCreateReport", "oadrCreatedEvent"),
    *("oadrCreatedReport", "oadrDistributeEvent", "oadrPoll", "oadrQueryRegistration", "oadrRegisterReport"),
    *("oadrRegisteredReport", "oadrRequestEvent", "oadrRequestReregistration", "oadrResponse", "oadrUpdatedReport"),
)


def test_the_release_is_the_one_that_was_examined():
    assert importlib.metadata.version("openleadr") == "0.5.36"


def test_the_schema_and_the_loader_of_templates_are_where_they_were():
    assert isinstance(openleadr.messaging.XML_SCHEMA, etree.XMLSchema)
    assert openleadr.messaging.TEMPLATES.loader is not None


@pytest.mark.parametrize("name", OF_OPENLEADR)
def test_a_template_of_openleadr_is_there_and_ours_hides_none_of_them_by_mistake(name):
    found = encode._TEMPLATES.get_template(f"{name}.xml").filename
    assert "openleadr" in found


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_template_of_ours_stands_before_that_of_openleadr(name):
    assert "oadr20b" in encode._TEMPLATES.get_template(f"{name}.xml").filename


def test_values_are_escaped_in_every_template():
    assert encode._TEMPLATES.autoescape is True
    assert openleadr.messaging.TEMPLATES.autoescape is False, "openleadr escapes now: ours may be needless"


def test_the_utilities_that_are_used_take_what_they_took():
    for function, names in (
        (openleadr.utils.flatten_xml, ["message"]),
        (openleadr.utils.booleanformat, ["value"]),
        (openleadr.utils.certificate_fingerprint, ["certificate_str"]),
        (openleadr.utils.certificate_fingerprint_from_der, ["der_bytes"]),
    ):
        assert list(inspect.signature(function).parameters) == names


def test_measurements_have_the_namespaces_that_are_written_and_the_known_slip_is_still_there():
    spaces = openleadr.enums._MEASUREMENT_NAMESPACES
    assert spaces["powerReal"] == spaces["energyReal"] == "power"
    assert spaces["currencyPerKWh"] == "oadr"
    assert "currencyPerKW" not in spaces, "openleadr spells it right now: encode.SPACES need not"


def test_signxml_takes_a_key_as_an_object_and_says_what_was_signed():
    assert "signature_properties" in inspect.signature(signxml.signer.XMLSigner.sign).parameters
    assert "expect_config" in inspect.signature(signxml.verifier.XMLVerifier.verify).parameters
    assert signxml.verifier.SignatureConfiguration(expect_references=2).expect_references == 2
    assert "signed_xml" in signxml.verifier.VerifyResult.__annotations__
